import t from 'tap'
import { startCluster } from '../support/redis.ts'
import { CLUSTER_FAULTS } from './cluster-faults.ts'
import { playFailovers } from './failovers.ts'
import { PROMISES } from './hold-history.ts'

const FAILOVERS = Number(process.env.FAILOVERS ?? 7)

for (const waitReplicas of [0, 1]) {
  t.test(`failovers in a Cluster under load, REDIS_WAIT_REPLICAS=${waitReplicas}`, async (t) => {
    const cluster = await startCluster({ replicas: true, nodeTimeoutMs: 2000, aof: true })
    t.teardown(() => cluster.stop())
    const healed = await playFailovers(t, cluster, {
      faults: CLUSTER_FAULTS,
      names: Object.keys(CLUSTER_FAULTS),
      count: FAILOVERS,
      waitReplicas,
      mayLose: waitReplicas === 0,
      promises: PROMISES,
      what: 'failovers in a Cluster',
    })
    t.ok(healed > 0, `writes were lost, and ${healed} tokens healed it`)
  })
}
