import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { hashClientSecret } from '../../src/accounts/client.ts'
import { type User, userLocator, usernameKey, withPassword } from '../../src/accounts/user.ts'
import { recordOf } from '../../src/audit/event.ts'
import { NO_LOCKSTEP } from '../../src/tokens/family.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { openHandle } from './handles.ts'
import { signedIn, someClient, someFamily, someUser, turn } from './records.ts'

const DOCUMENT = readFileSync(new URL('../../../docs/storage.md', import.meta.url), 'utf8')

/** The keys that docs/storage.md lists: `pawl:f:{LOCATOR}REST` and so on. */
const KEYS = [...DOCUMENT.matchAll(/^\| `(pawl:[^`]+)`/gm)].map(([, key = '']) => {
  const pattern = key
    .replace(/[{}]/g, '\\$&')
    .replace('LOCATOR', '[\\w-]{12}')
    .replace('REST', '[\\w-]{20}')
    .replace('CLIENT_ID', '[\\w.~-]{1,64}')
    .replace('SUBJECT', '.+')
    .replace('NAME', '[\\w-]{43}')
  return new RegExp(`^${pattern}$`)
})

/** The fields of a family that it lists, `s` standing for `s`, `s1`, `s2` and so on. */
const FIELDS = new Set(
  [...DOCUMENT.matchAll(/^\| ((?:`[a-z]1?`(?:, )?)+)[ …]*\|/gm)].flatMap(
    ([, cell = '']) => cell.match(/[a-z]/g) ?? [],
  ),
)

async function begin(t: Test) {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  return { redis, store: await openHandle(t, redis.url) }
}

const keysOf = (redis: RedisServer, pattern = '*') => redis.cli('KEYS', pattern) as Promise<string[]>

test('every key is one of the documented, and whatever ends has an end', async (t) => {
  const { redis, store } = await begin(t)
  t.equal(KEYS.length, 10, 'docs/storage.md is understood')

  const client = someClient({ type: 'confidential', secretHash: hashClientSecret('x') })
  await store.clients.create(client)
  await store.clients.create(someClient())
  await Promise.all([
    store.clients.change(client.clientId, { disabled: true }),
    store.clients.change('nobody', { disabled: true }),
  ])
  await store.users.findByUsername('nobody')
  const { user, begun } = await signedIn(store)
  await store.families.advance(turn(begun, 0))
  await store.families.noteReplay(begun.id, NO_LOCKSTEP)
  await store.families.revoke(begun.id, 'operator')
  const stranger = someFamily(someUser())
  await store.families.create(stranger)
  await store.families.create(someFamily(user, { isBrief: true }))
  await store.families.advance(turn(stranger, 0))
  await store.families.noteReplay(stranger.id, { generation: 1, run: 1 })
  await store.families.revoke(stranger.id, 'operator')
  await store.users.change(user.sub, withPassword(user, 'new'))
  await store.users.change(someUser().sub, { disabled: true })
  const forgotten = await signedIn(store)
  await store.networks.note(forgotten.user.username, 'digest', { networks: 16, ms: begun.maxMs })
  const charges = [{ subject: 'network:192.0.2.0/24', counter: 'all', limit: 9 }]
  await store.attempts.reserve(charges, { windowMs: begun.maxMs, pendingMs: 1000 })
  await store.attempts.settle(charges, 'failed')
  const deleted = await signedIn(store)
  await store.networks.note(deleted.user.username, 'digest', { networks: 16, ms: begun.maxMs })
  await store.users.delete(deleted.user)
  await store.clients.delete(client.clientId)
  await store.users.rename(user, `Married ${user.username}`)
  await store.audit.append([recordOf({ event: 'user.changed', sub: user.sub })], 10)

  const keys = await keysOf(redis)
  t.strictSame(
    keys.filter((key) => !KEYS.some((pattern) => pattern.test(key))),
    [],
  )
  t.strictSame(
    KEYS.filter((pattern) => !keys.some((key) => pattern.test(key))),
    [],
    'each of them came up',
  )
  for (const key of keys) {
    const ttl = Number(await redis.cli('PTTL', key))
    if (/^pawl:[fa]:/.test(key)) t.ok(ttl > 0 && ttl <= begun.maxMs, `${key} has ${ttl} ms to live`)
    else if (!/^pawl:[sb]:/.test(key)) t.equal(ttl, -1, `${key} stays`)
  }
  const { idleMs } = begun
  t.ok(
    Number(await redis.cli('PTTL', (await keysOf(redis, `pawl:f:*${begun.id.slice(12)}`))[0] ?? '')) <=
      idleMs,
  )
})

test('the fields of a family are the documented ones', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store, { scope: ['x'.repeat(200)], isBrief: true })
  await store.families.advance(turn(begun, 0))
  await store.families.noteReplay(begun.id, { generation: 1, run: 1 })
  await store.families.revoke(begun.id, 'reuse')
  const [key = ''] = await keysOf(redis, 'pawl:f:*')
  const fields = new Set(
    ((await redis.cli('HKEYS', key)) as string[]).map((field) => field.replace(/\d+$/, '')),
  )
  t.strictSame([...fields].sort(), [...FIELDS].sort())
})

test('the index of a user has the living sessions, and goes with the user', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store, { idleMs: 20, maxMs: 90_000 })
  const index = `pawl:s:{${userLocator(user.sub)}}`
  t.equal(await redis.cli('ZCARD', index), 1)
  const long = someFamily(user, { idleMs: 50_000, maxMs: 100_000 })
  await sleep(40)
  await store.families.create(long)
  const members = await redis.cli('ZRANGE', index, 0, -1)
  t.strictSame(members, [long.id.slice(12)], 'the next sign-in drops what has ended')
  const score = Number(await redis.cli('ZSCORE', index, long.id.slice(12)))
  await sleep(10)
  await store.families.advance(turn(long, 0))
  t.ok(Number(await redis.cli('ZSCORE', index, long.id.slice(12))) > score, 'a turn moves its place')
  await store.families.advance(turn(begun, 0))
  t.equal(await redis.cli('ZSCORE', index, begun.id.slice(12)), null, 'what is gone does not come back')
  await store.users.delete(user)
  t.equal(await redis.cli('EXISTS', index), 0)
})

test('an index that was lost does not come back by a turn', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  const index = `pawl:s:{${userLocator(user.sub)}}`
  await redis.cli('DEL', index)
  await store.families.advance(turn(begun, 0))
  await store.families.revoke(begun.id, 'operator')
  t.equal(await redis.cli('EXISTS', index), 0)
})

test('a family is small, however often it is turned', async (t) => {
  const { redis, store } = await begin(t)
  // The first keeps in mind what the measurement itself needs.
  await signedIn(store)
  const sessions = await Promise.all(Array.from({ length: 20 }, () => signedIn(store)))
  for (const { begun } of sessions.slice(0, 5)) {
    for (let from = 0; from < 100; from += 1) await store.families.advance(turn(begun, from))
    for (let i = 0; i < 10; i += 1) await store.families.noteReplay(begun.id, { generation: 100, run: 100 })
    const [family = ''] = await keysOf(redis, `pawl:f:*${begun.id.slice(12)}`)
    const index = `pawl:s:{${begun.id.slice(0, 12)}}`
    t.match(await redis.cli('OBJECT', 'ENCODING', family), /^(listpack|ziplist)$/, 'compact')
    const bytes = [await redis.cli('MEMORY', 'USAGE', family), await redis.cli('MEMORY', 'USAGE', index)].map(
      Number,
    )
    t.ok((bytes[0] ?? 0) + (bytes[1] ?? 0) <= 500, `${bytes.join(' + ')} bytes after 100 rotations`)
  }
})

test('a family stays compact with the longest members there can be', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store, {
    clientId: 'c'.repeat(64),
    scope: Array.from({ length: 50 }, (_, i) => `scope${i}`),
    audience: ['a'.repeat(255), 'b'.repeat(255)],
    sender: { network: 'ffff:ffff:ffff::/48', agent: 'x'.repeat(40) },
  })
  await store.families.advance(turn(begun, 0))
  await store.families.noteReplay(begun.id, { generation: 2 ** 31, run: 2 ** 31 })
  await store.families.revoke(begun.id, 'operator')
  const [family = ''] = await keysOf(redis, 'pawl:f:*')
  t.match(await redis.cli('OBJECT', 'ENCODING', family), /^(listpack|ziplist)$/)
})

test('what a family costs Redis in all, is no more than that', async (t) => {
  const { redis, store } = await begin(t)
  const COUNT = 4000
  const users = Array.from({ length: COUNT }, () => someUser())
  for (const part of partsOf(users, 50)) await Promise.all(part.map((user) => store.users.create(user)))
  const used = async () =>
    Number(/used_memory_dataset:(\d+)/.exec(String(await redis.cli('INFO', 'memory')))?.[1])
  const before = await used()
  for (const part of partsOf(users, 50)) {
    await Promise.all(
      part.map(async (user) => {
        const begun = someFamily(user)
        await store.families.create(begun)
        for (let from = 0; from < 3; from += 1) await store.families.advance(turn(begun, from))
      }),
    )
  }
  const bytes = ((await used()) - before) / COUNT
  t.ok(bytes <= 500, `${Math.round(bytes)} bytes for a family and its index`)
  t.comment(`${Math.round(bytes)} bytes`)
})

function partsOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
}

test('scripts are sent again to a Redis that has forgotten them', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  await redis.cli('SCRIPT', 'FLUSH')
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
  await redis.cli('SCRIPT', 'FLUSH')
  t.ok(await store.families.create(someFamily(user)))
  await redis.cli('SCRIPT', 'FLUSH')
  t.equal(await store.users.change(user.sub, { disabled: true }), true)
  await redis.cli('SCRIPT', 'FLUSH')
  t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked')
})

test('a refresh is one command and one round trip', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  await store.families.advance(turn(begun, 0))
  const before = await callsOf(redis)
  for (let from = 1; from <= 50; from += 1) await store.families.advance(turn(begun, from))
  const after = await callsOf(redis)
  t.equal((after.get('evalsha') ?? 0) - (before.get('evalsha') ?? 0), 50)
  const others = [...after].filter(([name, calls]) => {
    return (
      ['get', 'hgetall', 'eval', 'ping', 'multi', 'exec', 'script|exists', 'script|load'].includes(name) &&
      calls !== (before.get(name) ?? 0) &&
      name !== 'hgetall'
    )
  })
  t.strictSame(others, [])
  // Inside the script each is called once for each refresh, and none from outside.
  t.equal((after.get('hgetall') ?? 0) - (before.get('hgetall') ?? 0), 50)
})

async function callsOf(redis: RedisServer): Promise<Map<string, number>> {
  const stats = String(await redis.cli('INFO', 'commandstats'))
  return new Map(
    [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [
      name,
      Number(calls),
    ]),
  )
}

test('a creation that broke off before it took the name is gone on with', async (t) => {
  const { redis, store } = await begin(t)
  const user = someUser({ sub: 'auth0|ada', username: 'ada' })
  const [locator, name] = [userLocator(user.sub), usernameKey(user.username)]
  const breakOff = async () => {
    await store.users.create(user)
    await redis.cli('HDEL', 'pawl:usernames', name)
    t.equal(await store.users.findByUsername('ada'), undefined)
  }
  for (const again of [
    (next: User) => store.users.create(next),
    async (next: User) => (await store.users.createMany([next, someUser()]))[0],
  ]) {
    await breakOff()
    const next = { ...user, epoch: user.epoch + 1, passwordHash: 'another' }
    t.equal(await again(next), 'created')
    t.strictSame(await store.users.findByUsername('ada'), next)
    await store.users.delete(next)
  }
  await breakOff()
  t.equal(await store.users.create(someUser({ sub: user.sub })), 'sub_taken', 'another user does not get it')
  t.equal(await redis.cli('EXISTS', `pawl:u:{${locator}}`), 1)
})
