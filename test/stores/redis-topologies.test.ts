import { test } from 'tap'
import { msWithoutLag } from '../support/own-lag.ts'
import { type RedisServer, startCluster, startSentinel } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { conformance } from './conformance.ts'
import { openHandle } from './handles.ts'
import { familyIn, signedIn, someFamily, someUser, turn } from './records.ts'

conformance('Redis Cluster', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  return cluster.url
})

conformance('Redis with Sentinel', async (t) => {
  const sentinel = await startSentinel()
  t.teardown(() => sentinel.stop())
  return sentinel.url
})

test('replicas have what is answered, where as many are asked for', async (t) => {
  const sentinel = await startSentinel()
  t.teardown(() => sentinel.stop())
  const store = await openHandle(t, sentinel.url, { waitReplicas: 1 })
  const primary = await sentinel.primary()
  const replicas = sentinel.servers.filter((server) => server !== primary)

  await t.test('one of two', async (t) => {
    const { user, begun } = await signedIn(store)
    const key = `pawl:f:{${begun.id.slice(0, 12)}}${begun.id.slice(12)}`
    const holders = await Promise.all(replicas.map((replica) => replica.cli('EXISTS', key)))
    t.ok(holders.includes(1), 'a replica has the family')
    t.equal((await store.families.advance(turn(begun, 0))).applied, true)
    t.equal(await store.users.change(user.sub, { disabled: true }), true)
    t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked')
    t.equal(await store.users.delete(user), true)
  })

  await t.test('also when the primary has forgotten the scripts', async (t) => {
    const { user } = await signedIn(store)
    await primary.cli('SCRIPT', 'FLUSH')
    t.ok(await store.families.create(someFamily(user)))
    // The first of its sessions: one more would be asked for twice, and the second time the script is known again.
    const other = someUser()
    await store.users.create(other)
    // Otherwise WAIT would wait for what was written before.
    await until('the replicas have confirmed all that there is', () => isConfirmed(primary))
    for (const replica of replicas) replica.pause()
    await primary.cli('SCRIPT', 'FLUSH')
    await t.rejects(store.families.create(someFamily(other)), { name: 'UnavailableError' })
    for (const replica of replicas) replica.resume()
    await until('sign-ins are answered again', () => store.families.create(someFamily(user)))
  })

  await t.test('more than there are', async (t) => {
    const demanding = await openHandle(t, sentinel.url, { waitReplicas: 5 })
    const ms = await msWithoutLag(() =>
      t.rejects(demanding.users.create(someUser()), { name: 'UnavailableError' }),
    )
    t.ok(ms < 1000, `it gives up after ${ms.toFixed()} ms`)
    const { begun } = await signedIn(store)
    t.equal((await demanding.families.advance(turn(begun, 0))).applied, true, 'a rotation waits for nobody')
    await t.rejects(demanding.families.revoke(begun.id, 'operator'), { name: 'UnavailableError' })
  })

  await t.test('replicas that are silent', async (t) => {
    const { user, begun } = await signedIn(store)
    for (const replica of replicas) replica.pause()
    const ms = await msWithoutLag(() =>
      t.rejects(store.families.create(someFamily(user)), { name: 'UnavailableError' }),
    )
    t.ok(ms < 1000, `it gives up after ${ms.toFixed()} ms`)
    t.equal((await store.families.advance(turn(begun, 0))).applied, true, 'meanwhile refreshes go on')
    for (const replica of replicas) replica.resume()
    await until('sign-ins are answered again', () => store.families.create(someFamily(user)))
  })

  await t.test('after a failover the same handle goes on', async (t) => {
    const { begun } = await signedIn(store)
    await sentinel.failover()
    const { generation } = await until('the store is back', async () =>
      familyIn(await store.families.look(begun.id)),
    )
    t.equal(generation, 0, 'what was answered is there')
    await until('it takes turns', async () => {
      const { family } = await store.families.advance(turn(begun, 0))
      return family?.generation === 1
    })
    await until('and sign-ins', async () => (await signedIn(store)).begun)
  })
})

/** Whether its replicas have confirmed every write, so that a WAIT for these would be answered at once. */
async function isConfirmed(primary: RedisServer): Promise<boolean> {
  const info = String(await primary.cli('INFO', 'replication'))
  const all = /^master_repl_offset:(\d+)/m.exec(info)?.[1]
  const confirmed = [...info.matchAll(/^slave\d+:.*\boffset=(\d+)/gm)].map(([, offset]) => offset)
  return confirmed.length === 2 && confirmed.every((offset) => offset === all)
}

test('a cluster is ready when every node of it is', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  const store = await openHandle(t, cluster.url)
  const atOnce = await Promise.allSettled(Array.from({ length: 30 }, () => signedIn(store)))
  t.equal(
    atOnce.filter(({ status }) => status === 'fulfilled').length,
    30,
    'the very first requests are answered',
  )
})

test('a cluster node that is killed takes its own users with it, and nobody else', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  for (const node of cluster.nodes) await node.cli('CONFIG', 'SET', 'cluster-require-full-coverage', 'no')
  const store = await openHandle(t, cluster.url)
  const sessions: Awaited<ReturnType<typeof signedIn>>[] = []
  for (let i = 0; i < 30; i += 1) sessions.push(await signedIn(store))
  const [killed] = cluster.nodes
  await killed?.kill()
  const answers = new Set<unknown>()
  const ms = await msWithoutLag(() =>
    Promise.all(
      sessions.map(async ({ begun }) => {
        const answer = await store.families.advance(turn(begun, 0)).catch((error: Error) => error.name)
        answers.add(typeof answer === 'string' ? answer : answer.applied)
      }),
    ),
  )
  t.strictSame(answers, new Set([true, 'UnavailableError']))
  t.ok(ms < 1000, `the last is answered after ${ms.toFixed()} ms`)
})

test('with the wrong primary’s name nothing is reachable', async (t) => {
  const sentinel = await startSentinel()
  t.teardown(() => sentinel.stop())
  const url = sentinel.url.replace('mymaster', 'nobody')
  await t.rejects(openHandle(t, url, { limitMs: 500 }), { name: 'UnavailableError' })
})
