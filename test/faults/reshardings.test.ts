import t from 'tap'
import { startCluster } from '../support/redis.ts'
import { playFailovers } from './failovers.ts'
import { BUSY_PROMISES } from './hold-history.ts'
import { RESHARDINGS } from './reshardings.ts'

t.test('slots that move under load, and one to a node that falls asleep', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  await playFailovers(t, cluster, {
    faults: RESHARDINGS,
    names: ['slots of users that move', 'a slot of a user that moves to a node that falls asleep'],
    count: 2,
    waitReplicas: 0,
    mayLose: false,
    promises: BUSY_PROMISES,
    what: 'reshardings',
  })
})
