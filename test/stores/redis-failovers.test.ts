import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { startCluster, startSentinel } from '../support/redis.ts'
import { finishMove, moveKeys, movingOf, slotOf } from '../support/resharding.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { openHandle } from './handles.ts'
import { signedIn, turn } from './records.ts'

test('Sentinel: a failover that is heard of just while the sentinels are asked', async (t) => {
  const sentinel = await startSentinel({ downAfterMs: 1000 })
  t.teardown(() => sentinel.stop())
  const proxy = await startProxy(sentinel.sentinels[0]!.port)
  t.teardown(() => proxy.stop())
  const store = await openHandle(t, `redis-sentinel://127.0.0.1:${proxy.port}/mymaster`)
  await signedIn(store)
  // It is asked nearly all the time then, and the others, which it names, tell of the failover at once.
  proxy.setDelayMs(350)
  const primary = await sentinel.primary()
  await primary.kill()
  await sentinel.successorOf(primary)
  proxy.setDelayMs(0)
  t.ok(await until('sign-ins are answered again', () => signedIn(store)))
})

test('Sentinel: one that accepts connections and says nothing', async (t) => {
  const sentinel = await startSentinel()
  t.teardown(() => sentinel.stop())
  sentinel.sentinels[0]!.pause()
  const store = await openHandle(t, sentinel.url)
  t.ok((await signedIn(store)).begun, 'the next one is asked')
})

test('Cluster: after a failover there are replicas to wait for again', async (t) => {
  const cluster = await startCluster({ replicas: true })
  t.teardown(() => cluster.stop())
  const store = await openHandle(t, cluster.url, { waitReplicas: 1 })
  // The connection that waits for replicas is made beside the one that says that the store is there.
  const { user, begun } = await until('sign-ins are answered', () => signedIn(store))
  for (const replica of cluster.nodes.slice(3)) await replica.cli('CLUSTER', 'FAILOVER')
  await until('the session can be ended', () => store.families.revoke(begun.id, 'operator'))
  t.ok(await until('the user can be deleted', () => store.users.delete(user)))
})

test('Cluster: a slot moves to a node that falls silent', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  const store = await openHandle(t, cluster.url)
  const { begun } = await signedIn(store)
  const moving = await movingOf(cluster, await slotOf(cluster, `{${begun.id.slice(0, 12)}}`))
  await moveKeys(moving)
  t.equal((await store.families.advance(turn(begun, 0))).applied, true, 'the new node is asked')
  moving.to.pause()
  await t.rejects(store.families.advance(turn(begun, 1)), { name: 'UnavailableError' })
  // Nothing but an answer to a request may come of it: a promise that nobody awaits would end a server.
  await sleep(1500)
  moving.to.resume()
  await finishMove(moving)
  const { family } = await until('it is asked again', () => store.families.look(begun.id))
  t.ok((family?.generation ?? 0) >= 1, 'nothing is lost')
})
