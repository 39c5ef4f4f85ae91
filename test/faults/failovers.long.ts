import t from 'tap'
import { startSentinel } from '../support/redis.ts'
import { playFailovers } from './failovers.ts'
import { PROMISES } from './hold-history.ts'
import { SENTINEL_FAULTS } from './sentinel-faults.ts'

const FAILOVERS = Number(process.env.FAILOVERS ?? 7)

const REPLICAS = 2

for (const waitReplicas of [0, 1, REPLICAS]) {
  t.test(`failovers by Sentinel under load, REDIS_WAIT_REPLICAS=${waitReplicas}`, async (t) => {
    const sentinel = await startSentinel({ aof: true })
    t.teardown(() => sentinel.stop())
    const healed = await playFailovers(t, sentinel, {
      faults: SENTINEL_FAULTS,
      names: Object.keys(SENTINEL_FAULTS),
      count: FAILOVERS,
      waitReplicas,
      // A primary that has been replaced, and does not know it, may still have the other replica.
      mayLose: waitReplicas < REPLICAS,
      promises: PROMISES,
      what: 'failovers by Sentinel',
    })
    t.ok(healed > 0, `writes were lost, and ${healed} tokens healed it`)
  })
}
