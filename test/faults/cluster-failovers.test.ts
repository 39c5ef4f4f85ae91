import t from 'tap'
import { startCluster } from '../support/redis.ts'
import { CLUSTER_FAULTS } from './cluster-faults.ts'
import { playFailovers } from './failovers.ts'
import { BUSY_PROMISES } from './hold-history.ts'

// In every run only this; the others are for the long one.
t.test('a failover in a Cluster that loses writes, but none that replicas are waited for', async (t) => {
  const cluster = await startCluster({ replicas: true, aof: true })
  t.teardown(() => cluster.stop())
  const healed = await playFailovers(t, cluster, {
    faults: CLUSTER_FAULTS,
    names: ['a replica that is behind, and takes over'],
    count: 1,
    waitReplicas: 1,
    mayLose: false,
    promises: BUSY_PROMISES,
    what: 'failovers in a Cluster',
  })
  t.ok(healed > 0, `writes were lost, and ${healed} tokens healed it`)
})
