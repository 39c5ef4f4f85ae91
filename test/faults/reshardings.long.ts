import t from 'tap'
import { startCluster } from '../support/redis.ts'
import { playFailovers } from './failovers.ts'
import { PROMISES } from './hold-history.ts'
import { RESHARDINGS } from './reshardings.ts'

const COUNT = Number(process.env.RESHARDINGS ?? 12)

// A cluster whose nodes have no replicas, as everything is then told from what moves alone.
t.test('a Cluster that is resharded under load', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  await playFailovers(t, cluster, {
    faults: RESHARDINGS,
    names: Object.keys(RESHARDINGS),
    count: COUNT,
    waitReplicas: 0,
    mayLose: false,
    promises: PROMISES,
    what: 'reshardings',
  })
})
