import t from 'tap'
import { startSentinel } from '../support/redis.ts'
import { playFailovers } from './failovers.ts'
import { BUSY_PROMISES } from './hold-history.ts'
import { SENTINEL_FAULTS } from './sentinel-faults.ts'

// In every run only these; the others are for the long one.
t.test('a failover by Sentinel that loses writes', async (t) => {
  // Longer than a busy machine keeps a primary waiting, which would be replaced outside of any fault.
  const sentinel = await startSentinel({ downAfterMs: 4000, aof: true })
  t.teardown(() => sentinel.stop())
  const healed = await playFailovers(t, sentinel, {
    faults: SENTINEL_FAULTS,
    names: ['a primary that is killed, its replicas behind'],
    count: 1,
    waitReplicas: 0,
    mayLose: true,
    promises: BUSY_PROMISES,
    what: 'failovers by Sentinel',
  })
  t.ok(healed > 0, `writes were lost, and ${healed} tokens healed it`)
})
