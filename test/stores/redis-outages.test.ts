import { type Test, test } from 'tap'
import type { Store } from '../../src/stores/contract.ts'
import { NO_LOCKSTEP } from '../../src/tokens/family.ts'
import { msWithoutLag } from '../support/own-lag.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { openHandle } from './handles.ts'
import { familyIn, signedIn, someClient, someFamily, someUser, turn } from './records.ts'

const UNAVAILABLE = { name: 'UnavailableError', message: 'The store does not answer' }

/** A Redis, a handle on it, and what the handle has told of its connection. */
async function begin(t: Test, redis: RedisServer) {
  t.teardown(() => redis.stop())
  const told: string[] = []
  const store = await openHandle(t, redis.url, { onChange: (state) => void told.push(state) })
  return { store, told }
}

/** Asserts that every verb gives up within a second. */
async function expectOutage(t: Test, store: Store): Promise<void> {
  const user = someUser()
  const family = someFamily(user)
  const verbs: Record<string, () => Promise<unknown>> = {
    ping: () => store.ping(),
    'clients.find': () => store.clients.find('nobody'),
    'clients.create': () => store.clients.create(someClient()),
    'clients.change': () => store.clients.change('nobody', { disabled: true }),
    'clients.delete': () => store.clients.delete('nobody'),
    'clients.list': () => store.clients.list()[Symbol.asyncIterator]().next(),
    'users.findByUsername': () => store.users.findByUsername('nobody'),
    'users.create': () => store.users.create(user),
    'users.change': () => store.users.change(user.sub, { disabled: true }),
    'users.delete': () => store.users.delete(user),
    'users.list': () => store.users.list()[Symbol.asyncIterator]().next(),
    'families.create': () => store.families.create(family),
    'families.advance': () => store.families.advance(turn(family, 0)),
    'families.look': () => store.families.look(family.id),
    'families.noteReplay': () => store.families.noteReplay(family.id, NO_LOCKSTEP),
    'families.revoke': () => store.families.revoke(family.id, 'operator'),
    'families.listOfUser': () => store.families.listOfUser(family.id.slice(0, 12), 10),
  }
  await Promise.all(
    Object.entries(verbs).map(async ([name, verb]) => {
      const ms = await msWithoutLag(() => t.rejects(verb(), UNAVAILABLE, name))
      t.ok(ms < 1000, `${name} gave up after ${ms.toFixed()} ms`)
    }),
  )
}

/** Reachable in the beginning and in the end, and nothing was told twice. On a busy machine it is lost more often. */
function expectTurns(t: Test, told: readonly string[]): void {
  t.equal(told[0], 'reachable')
  t.equal(told.at(-1), 'reachable')
  t.ok(
    told.every((state, i) => state !== told[i - 1]),
    told.join(' '),
  )
}

const untilBack = (store: Store) =>
  until('the store is back', async () => {
    await store.ping()
    return true
  })

test('a Redis that is silent: unavailable within a second, and back without a new handle', async (t) => {
  const redis = await startRedis()
  const { store, told } = await begin(t, redis)
  const { begun } = await signedIn(store)
  for (const round of [1, 2]) {
    redis.pause()
    await expectOutage(t, store)
    await expectOutage(t, store)
    redis.resume()
    await untilBack(store)
    await until(`the session goes on in round ${round}`, async () => {
      const { generation } = familyIn(await store.families.look(begun.id))
      return (await store.families.advance(turn(begun, generation))).applied
    })
  }
  expectTurns(t, told)
})

test('a Redis that was killed and comes back with its data', async (t) => {
  const redis = await startRedis({ aof: 'always' })
  const { store, told } = await begin(t, redis)
  const { begun } = await signedIn(store)
  await store.families.advance(turn(begun, 0))
  await redis.kill()
  await expectOutage(t, store)
  await redis.restart()
  await untilBack(store)
  t.equal(familyIn(await store.families.look(begun.id)).generation, 1, 'what was answered is there')
  t.equal((await store.families.advance(turn(begun, 1))).applied, true)
  t.ok(await store.families.create(someFamily((await signedIn(store)).user)), 'scripts and all')
  t.ok(told.length >= 3)
  expectTurns(t, told)
})

test('a Redis that was not there at first', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.kill()
  const opening = openHandle(t, redis.url)
  await new Promise((resolve) => setTimeout(resolve, 300))
  await redis.restart()
  await t.resolves(opening)
})

test('a Redis that takes no writes is unavailable, not a reason to sign anybody out', async (t) => {
  const redis = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  const { store } = await begin(t, redis)
  const { begun } = await signedIn(store)
  await redis.cli('CONFIG', 'SET', 'maxmemory', '1')
  await t.rejects(store.families.advance(turn(begun, 0)), UNAVAILABLE, 'out of memory')
  await t.rejects(signedIn(store), UNAVAILABLE)
  t.equal(familyIn(await store.families.look(begun.id)).generation, 0, 'reads go on')
  await redis.cli('CONFIG', 'SET', 'maxmemory', '0')
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
})

test('a wrong password is unavailable, too', async (t) => {
  const redis = await startRedis({ password: 'open-sesame' })
  const { store } = await begin(t, redis)
  await t.resolves(store.ping())
  const url = redis.url.replace('open-sesame', 'wrong')
  await t.rejects(openHandle(t, url, { limitMs: 500 }), UNAVAILABLE)
})

test('a command whose answer was lost is not sent again', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const proxy = await startProxy(redis.port)
  t.teardown(() => proxy.stop())
  const store = await openHandle(t, `redis://127.0.0.1:${proxy.port}`)
  const direct = await openHandle(t, redis.url)
  const { begun } = await signedIn(store)
  await store.families.advance(turn(begun, 0))

  proxy.dropNextReply()
  await t.rejects(store.families.noteReplay(begun.id, { generation: 1, run: 1 }), UNAVAILABLE)
  await untilBack(store)
  t.equal(familyIn(await direct.families.look(begun.id)).replays, 1, 'it was carried out once')

  proxy.dropNextReply()
  await t.rejects(store.families.advance(turn(begun, 1)), UNAVAILABLE)
  await untilBack(store)
  const again = await store.families.advance(turn(begun, 1))
  t.equal(again.applied, false)
  t.equal(again.family?.generation, 2, 'asking again tells what became of it')
})

test('a slow network is borne up to the limit', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const proxy = await startProxy(redis.port)
  t.teardown(() => proxy.stop())
  const store = await openHandle(t, `redis://127.0.0.1:${proxy.port}`)
  const { begun } = await signedIn(store)
  proxy.setDelayMs(100)
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
  proxy.setDelayMs(1500)
  await t.rejects(store.families.advance(turn(begun, 1)), UNAVAILABLE)
  proxy.setDelayMs(0)
  await untilBack(store)
  t.equal((await store.families.advance(turn(begun, 2))).applied, true)
})

// Two servers, one of them far from its Redis: what it does comes in several round trips, and another's fits in between.
test('accounts are made and deleted whole, whoever else is at it', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const proxy = await startProxy(redis.port)
  t.teardown(() => proxy.stop())
  const far = await openHandle(t, `redis://127.0.0.1:${proxy.port}`)
  const near = await openHandle(t, redis.url)
  const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  proxy.setDelayMs(100)

  await t.test('two create one name', async (t) => {
    for (const head of [50, 150, 250]) {
      const { username } = someUser()
      const [first, second] = [someUser({ username }), someUser({ username })]
      const answers = await Promise.all([
        far.users.create(first),
        later(head).then(() => near.users.create(second)),
      ])
      t.strictSame([...answers].sort(), ['created', 'username_taken'], `${head} ms apart`)
      const owner = answers[0] === 'created' ? first : second
      t.strictSame(
        await near.users.findByUsername(username),
        owner,
        `${head} ms apart: the one who was told so has it`,
      )
    }
  })

  await t.test('two create one name, and the later is held up in the middle', async (t) => {
    const another = await startProxy(redis.port)
    t.teardown(() => another.stop())
    const halting = await openHandle(t, `redis://127.0.0.1:${another.port}`)
    const { username } = someUser()
    const [first, second] = [someUser({ username }), someUser({ username })]
    proxy.setDelayMs(150)
    another.setDelayMs(30)
    const creations = [far.users.create(first), later(10).then(() => halting.users.create(second))]
    await later(55)
    // Until the first has made its record.
    another.setDelayMs(200)
    const answers = await Promise.all(creations)
    proxy.setDelayMs(100)
    t.strictSame([...answers].sort(), ['created', 'username_taken'])
    const owner = answers[0] === 'created' ? first : second
    t.strictSame(await near.users.findByUsername(username), owner)
  })

  await t.test('one deletes a user, another gives the name to the next', async (t) => {
    for (const head of [50, 150]) {
      const user = someUser()
      await near.users.create(user)
      const successor = someUser({ username: user.username })
      const [deleted, created] = await Promise.all([
        far.users.delete(user),
        later(head).then(() => near.users.create(successor)),
      ])
      t.equal(deleted, true)
      const found = await near.users.findByUsername(user.username)
      t.strictSame(found, created === 'created' ? successor : undefined, `${head} ms apart: ${created}`)
      const listed: string[] = []
      for await (const { sub } of near.users.list()) listed.push(sub)
      t.equal(listed.includes(successor.sub), created === 'created')
    }
  })

  await t.test('one creates a client, another deletes it', async (t) => {
    const client = someClient()
    await Promise.all([
      far.clients.create(client),
      later(50).then(() => near.clients.delete(client.clientId)),
    ])
    const found = await near.clients.find(client.clientId)
    const listed: string[] = []
    for await (const { clientId } of near.clients.list()) listed.push(clientId)
    t.equal(listed.includes(client.clientId), found !== undefined, 'listed if and only if it is there')
  })
})
