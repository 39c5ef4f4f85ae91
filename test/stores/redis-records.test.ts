import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { hashClientSecret } from '../../src/accounts/client.ts'
import { type User, userLocator, usernameKey, withPassword } from '../../src/accounts/user.ts'
import { recordOf } from '../../src/audit/event.ts'
import { UnavailableError } from '../../src/oauth/errors.ts'
import { gather } from '../../src/stores/sound-records.ts'
import { NO_LOCKSTEP } from '../../src/tokens/family.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { runHere } from '../support/run-here.ts'
import { until } from '../support/until.ts'
import { openHandle } from './handles.ts'
import { atFirst, familyIn, signedIn, someClient, someFamily, someUser, turn } from './records.ts'

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

/** The record of a family as it is shown there: words of its own, what may be missing in brackets. */
const RECORD = new RegExp(
  `^${(/```\n(GENERATION[^`]*)\n```/.exec(DOCUMENT)?.[1] ?? '')
    .replace(/([ \n]?)\[(.*?)\]/g, '(?:$1$2)?')
    .replace(/\b(?:NETWORK|AGENT|SCOPE|AUDIENCE)\b/g, '[ -~]*')
    .replace(/\b[A-Z_]+\b/g, '[!-~]+')}$`,
)

async function begin(t: Test) {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  return { redis, store: await openHandle(t, redis.url) }
}

const keyOf = ({ id }: { readonly id: string }) => `pawl:f:{${id.slice(0, 12)}}${id.slice(12)}`
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
  await store.families.create(someFamily(user))
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
  await store.attempts.settle(charges, 'failed', { windowMs: begun.maxMs })
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

test('the record of a family is the documented one', async (t) => {
  const { redis, store } = await begin(t)
  t.equal(RECORD.source.split('\\n').length, 7, 'docs/storage.md is understood')
  const { begun } = await signedIn(store, { scope: ['x'.repeat(200), 'y'], isBrief: true })
  const record = async () => String(await redis.cli('GET', keyOf(begun)))
  t.match(await record(), RECORD)
  await store.families.advance(turn(begun, 0))
  await store.families.noteReplay(begun.id, { generation: 1, run: 1 })
  t.match(await record(), RECORD)
  await store.families.revoke(begun.id, 'reuse')
  t.match(await record(), RECORD)
  t.notMatch(`${await record()}\n`, RECORD)
  t.equal((await record()).split('\n').length, 7)
})

test('one session of a user is in the record of the user, the others in the index', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun: first, endsAt } = await signedIn(store)
  const locator = userLocator(user.sub)
  const [index, record] = [`pawl:s:{${locator}}`, `pawl:u:{${locator}}`]
  const listed = async () => (await store.families.listOfUser(locator, 10)).map(({ id }) => id).sort()
  t.equal(await redis.cli('HGET', record, 'family'), `${first.id.slice(12)} ${endsAt.toString(36)}`)
  t.equal(await redis.cli('EXISTS', index), 0)
  t.strictSame(await store.users.find(user.sub), user, 'it is no member of the user')

  const brief = someFamily(user, { isBrief: true })
  await store.families.create(brief)
  const second = someFamily(user, { idleMs: 60_000, maxMs: 90_000 })
  const ends = (await store.families.create(second))?.endsAt
  await store.families.advance(turn(first, 0))
  await store.families.advance(turn(second, 0))
  t.equal(Number(await redis.cli('ZSCORE', index, second.id.slice(12))), ends, 'and no turn moves it')
  t.equal(await redis.cli('ZCARD', index), 1)
  t.strictSame(await listed(), [first, second, brief].map(({ id }) => id).sort())

  await redis.cli('DEL', keyOf(first))
  const third = someFamily(user)
  await store.families.create(third)
  t.match(await redis.cli('HGET', record, 'family'), third.id.slice(12), 'the place of what is gone is free')
  await redis.cli('DEL', keyOf(second))
  await store.families.create(someFamily(user))
  t.equal(await redis.cli('ZCARD', index), 1, 'the next sign-in takes what is gone off the index')

  await store.users.change(user.sub, { disabled: true })
  t.match(await redis.cli('HGET', record, 'family'), third.id.slice(12))
  await store.users.delete(user)
  t.strictSame(await redis.cli('EXISTS', index, record), 0, 'and all goes with the user')
})

test('a list of more sessions than there may be questions at once is read to its end', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  const locator = userLocator(user.sub)
  const members = Array.from({ length: 10_000 }, (_, i) => [1, `${i}`.padStart(20, '0')] as const)
  for (const part of partsOf(members, 1000)) await redis.cli('ZADD', `pawl:s:{${locator}}`, ...part.flat())
  const listed = await store.families.listOfUser(locator, 10)
  t.strictSame(
    listed.map(({ id }) => id),
    [begun.id],
  )
})

test('a session that is over by the clock alone leaves its place', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store, { idleMs: 20, maxMs: 30 })
  await sleep(40)
  const next = someFamily(user)
  await store.families.create(next)
  const place = String(await redis.cli('HGET', `pawl:u:{${userLocator(user.sub)}}`, 'family'))
  t.notMatch(place, begun.id.slice(12))
  t.match(place, next.id.slice(12))
})

test('a copied session takes the place in the record once, and only where there is a user', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  const held = familyIn(await store.families.look(begun.id))
  const stranger = someUser()
  const locator = userLocator(stranger.sub)
  const copied = { ...held, id: someFamily(stranger).id }
  t.equal(await store.families.adopt(copied), true)
  t.equal(await redis.cli('EXISTS', `pawl:u:{${locator}}`), 0)
  await store.users.create(stranger)
  t.equal(await store.families.adopt({ ...copied, generation: 1 }), true)
  t.equal(await redis.cli('HGET', `pawl:u:{${locator}}`, 'family'), null, 'it is in the index')
  t.equal((await store.families.listOfUser(locator, 10)).length, 1)

  await redis.cli('HDEL', `pawl:u:{${userLocator(user.sub)}}`, 'family')
  for (const generation of [1, 2]) t.equal(await store.families.adopt({ ...held, generation }), true)
  t.match(await redis.cli('HGET', `pawl:u:{${userLocator(user.sub)}}`, 'family'), begun.id.slice(12))
  t.equal(await redis.cli('EXISTS', `pawl:s:{${userLocator(user.sub)}}`), 0)
})

test('a copied session overwrites none that is damaged', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  const held = familyIn(await store.families.look(begun.id))
  const key = keyOf(begun)
  const whole = String(await redis.cli('GET', key))
  const lines = whole.split('\n')
  const damaged = ['x', '', `x${whole}`, `${whole}\n`, `${whole}\nreuse`, lines.slice(0, 5).join('\n')]
  const refused = async (message: RegExp) => {
    await t.rejects(store.families.adopt({ ...held, generation: 5 }), { cause: { message } })
    const revoked = { reason: 'operator', at: held.createdAt } as const
    await t.rejects(store.families.adopt({ ...held, revoked }), { cause: { message } })
  }
  for (const record of damaged) {
    await redis.cli('SET', key, record, 'KEEPTTL')
    await refused(new RegExp(`session ${begun.id} cannot be read`))
    t.equal(await redis.cli('GET', key), record)
  }
  await redis.cli('SET', key, whole)
  await refused(new RegExp(`session ${begun.id} cannot be read`))
  await redis.cli('DEL', key)
  await redis.cli('HSET', key, 'generation', '0')
  await refused(new RegExp(`session ${begun.id} is of another type`))
  await redis.cli('DEL', key)
  t.equal(await store.families.adopt({ ...held, generation: 5 }), true)
})

test('a place that was lost does not come back by a turn', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  const record = `pawl:u:{${userLocator(user.sub)}}`
  await redis.cli('HDEL', record, 'family')
  await store.families.advance(turn(begun, 0))
  await store.families.revoke(begun.id, 'operator')
  t.equal(await redis.cli('HEXISTS', record, 'family'), 0)
})

test('a damaged record is told apart from none, and moves nothing', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  const key = keyOf(begun)
  const whole = String(await redis.cli('GET', key))
  const lines = whole.split('\n')
  const words = lines.flatMap((line, at) =>
    at === 1 || at === 2 ? [] : line.split(' ').map((word) => [at, word] as const),
  )
  const damaged = [
    'x',
    whole.slice(0, -40),
    `${whole}\n`,
    `${whole}\nwhim 5`,
    `${whole}\nreuse`,
    `\n${whole}`,
    `${whole}\nreuse 5\n`,
    ...lines.map((_, at) => lines.filter((_, i) => i !== at).join('\n')),
    // No number, no token and no identifier has such a character.
    ...words.map(([at, word]) => lines.with(at, lines[at]!.replace(word, `${word}\u00e9`)).join('\n')),
    ...[-1, 1.5, 2 ** 32, '00', 'x'].map((generation) => whole.replace('0', String(generation))),
  ]
  for (const record of damaged) {
    await redis.cli('SET', key, record, 'KEEPTTL')
    for (const ask of [() => store.families.look(begun.id), () => store.families.advance(turn(begun, 0))])
      await t.rejects(ask(), UnavailableError, JSON.stringify(record))
    t.equal(await redis.cli('GET', key), record)
  }
  await redis.cli('SET', key, whole, 'KEEPTTL')
  t.equal((await store.families.advance(turn(begun, 0))).applied, true, 'and whole again it goes on')
})

test('sessions that ended with all of their client do not count at its next sign-in', async (t) => {
  const { store } = await begin(t)
  const { user, begun: other } = await signedIn(store, { clientId: 'other', maxSessions: 2 })
  await sleep(2)
  await store.families.create(someFamily(user, { clientEpoch: 22, maxSessions: 2 }))
  await sleep(2)
  const create = async (clientEpoch: number) =>
    (await store.families.create(someFamily(user, { clientEpoch, maxSessions: 2 })))?.ended
  t.strictSame(await create(23), [], 'the other session of the user goes on')
  t.equal(familyIn(await store.families.look(other.id)).revoked, undefined)
  t.strictSame(await create(23), [other.id], 'and counts, as does what lives of the client')
})

test('what the script would move and nobody can read is where it was', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  const [key, user] = [keyOf(begun), `pawl:u:{${begun.id.slice(0, 12)}}`]
  const claims = String(await redis.cli('HGET', user, 'claims'))
  await redis.cli('HSET', user, 'claims', '{bad')
  for (let again = 0; again < 2; again += 1) {
    await t.rejects(store.families.advance(turn(begun, 0)), UnavailableError)
    t.match(await redis.cli('GET', key), /^0 /, 'at the generation whose token the client holds')
  }
  await redis.cli('HSET', user, 'claims', claims)
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
})

test('a record without an expiry is damaged, and not gone', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  // As a backup is put back by a plain SET.
  await redis.cli('PERSIST', keyOf(begun))
  for (const ask of [() => store.families.look(begun.id), () => store.families.advance(turn(begun, 0))])
    await t.rejects(ask(), { cause: { message: /has no expiry/ } })
  await redis.cli('PEXPIRE', keyOf(begun), '60000')
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
})

test('a damaged session keeps its user neither from signing in nor from the list of the others', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun: other } = await signedIn(store)
  const spoilt = someFamily(user)
  await store.families.create(spoilt)
  const key = keyOf(spoilt)
  const ways = [
    ['SET', key, 'x'],
    ['SET', key, '0 0\n\n\nweb 9e300 nan zz zz\n\n'],
    ['RPUSH', key, 'x'],
  ]
  for (const way of ways) {
    await redis.cli('DEL', key)
    await redis.cli(...(way as [string, ...string[]]))
    const faults: unknown[] = []
    const listed = await store.families.listOfUser(other.id.slice(0, 12), 10, (fault) => faults.push(fault))
    t.ok(
      listed.some(({ id }) => id === other.id),
      way.join(' '),
    )
    t.equal(faults.length, 1)
    const ofClient: string[] = []
    const walk = async () => {
      for await (const { family } of store.families.listOfClient('web')) ofClient.push(family.id)
    }
    await t.rejects(walk(), UnavailableError)
    t.ok(ofClient.includes(other.id))
    t.ok(await store.families.create(someFamily(user, { maxSessions: 50 })), 'with room')
  }
  for (const way of ways) {
    await redis.cli('DEL', key)
    await redis.cli(...(way as [string, ...string[]]))
    await redis.cli(
      'ZADD',
      `pawl:s:{${other.id.slice(0, 12)}}`,
      String(Date.now() + 60_000),
      spoilt.id.slice(12),
    )
    const next = someFamily(user, { maxSessions: 1 })
    t.ok(await store.families.create(next), 'and at the cap')
  }
})

test('a record from before, that was refreshed under a clock set back, can be taken over', async (t) => {
  const { store } = await begin(t)
  const user = someUser()
  await store.users.create(user)
  const family = atFirst(someFamily(user), Date.now())
  t.equal(await store.families.adopt({ ...family, rotatedAt: family.createdAt - 5000 }), true)
  t.equal(familyIn(await store.families.look(family.id)).rotatedAt, family.createdAt)
})

test('of two repeats at once the older takes nothing back', async (t) => {
  const { store } = await begin(t)
  const { begun } = await signedIn(store)
  const noted = async (generation: number, run: number) => {
    await store.families.noteReplay(begun.id, { generation, run })
    return familyIn(await store.families.look(begun.id))
  }
  t.match(await noted(1, 1), { replays: 1, lockstep: { generation: 1, run: 1 } })
  t.match(await noted(3, 2), { replays: 2, lockstep: { generation: 3, run: 2 } })
  t.match(await noted(2, 1), { replays: 3, lockstep: { generation: 3, run: 2 } }, 'it is counted')
  t.match(await noted(3, 1), { replays: 4, lockstep: { generation: 3, run: 2 } })
  t.match(await noted(0, 0), { replays: 5, lockstep: { generation: 3, run: 2 } })
  t.match(await noted(4, 3), { replays: 6, lockstep: { generation: 4, run: 3 } })
})

test('a session of another type is named, moves nothing, and can be ended', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  await redis.cli('DEL', keyOf(begun))
  // As a session was kept before it was a string.
  await redis.cli('HSET', keyOf(begun), 'generation', '0')
  const named = {
    name: 'UnavailableError',
    cause: { message: new RegExp(`session ${begun.id} is of another`) },
  }
  await t.rejects(store.families.look(begun.id), named)
  await t.rejects(store.families.advance(turn(begun, 0)), named)
  await t.rejects(store.families.noteReplay(begun.id, NO_LOCKSTEP), named)
  t.equal(await redis.cli('HGET', keyOf(begun), 'generation'), '0')
  t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked')
  t.equal((await store.families.look(begun.id)).family, undefined)

  const { begun: cut } = await signedIn(store)
  await redis.cli('SET', keyOf(cut), 'x', 'KEEPTTL')
  await t.rejects(store.families.noteReplay(cut.id, NO_LOCKSTEP), {
    cause: { message: new RegExp(`session ${cut.id} cannot be read`) },
  })
})

test('a list of sessions of another type is named, and made anew by the next sign-in', async (t) => {
  const { redis, store } = await begin(t)
  const { user, begun } = await signedIn(store)
  const locator = userLocator(user.sub)
  for (const members of [{}, { isBrief: true }]) {
    const index = `pawl:${members.isBrief ? 'b' : 's'}:{${locator}}`
    await redis.cli('SET', index, 'x')
    const faults: unknown[] = []
    const listed = await store.families.listOfUser(locator, 10, (fault) => faults.push(fault))
    t.ok(listed.some(({ id }) => id === begun.id))
    t.match(faults, [{ cause: { message: new RegExp(`the list ${index} is of another type`) } }])
    const next = someFamily(user, members)
    t.ok(await store.families.create(next))
    t.ok((await store.families.listOfUser(locator, 10)).some(({ id }) => id === next.id))
    await redis.cli('SET', index, 'x')
    const copied = { ...familyIn(await store.families.look(next.id)), generation: 1 }
    t.equal(await store.families.adopt(copied), true)
    t.ok((await store.families.listOfUser(locator, 10)).some(({ id }) => id === next.id))
  }
  await redis.cli('DEL', `pawl:u:{${locator}}`)
  await redis.cli('SET', `pawl:u:{${locator}}`, 'x')
  const named = { cause: { message: new RegExp(`the user at ${locator} is of another type`) } }
  await t.rejects(store.families.create(someFamily(user)), named)
  await t.rejects(store.families.listOfUser(locator, 10), named)
})

test('of networks of another type none is known, until one is noted', async (t) => {
  const { redis, store } = await begin(t)
  const key = `pawl:n:${usernameKey('ada')}`
  await redis.cli('SET', key, 'x')
  t.equal(await store.networks.isKnown('ada', ['digest'], 60_000), false)
  await store.networks.note('ada', 'digest', { networks: 16, ms: 60_000 })
  t.equal(await store.networks.isKnown('ada', ['digest'], 60_000), true)
})

test('counters of another type, or without an end, refuse nobody for good', async (t) => {
  const { redis, store } = await begin(t)
  const key = 'pawl:a:{a}total'
  const charges = [{ subject: 'total', counter: 'all', limit: 9 }]
  const ways: [string, ...string[]][] = [
    ['SET', key, '9'],
    ['SET', key, '9', 'PX', '60000'],
    ['HSET', key, 'n:all', '9'],
  ]
  for (const way of ways) {
    await redis.cli('DEL', key)
    await redis.cli(...way)
    t.equal(await store.attempts.reserve(charges, { windowMs: 60_000, pendingMs: 1000 }), undefined)
    await store.attempts.settle(charges, 'failed', { windowMs: 60_000 })
    t.equal(await redis.cli('HGET', key, 'n:all'), '1', way.join(' '))
    t.ok(Number(await redis.cli('PTTL', key)) > 0)
  }
})

test('a clock that was set back lets no counter refuse for longer than it may', async (t) => {
  const { redis, store } = await begin(t)
  const key = 'pawl:a:{a}total'
  const charges = [{ subject: 'total', counter: 'all', limit: 1 }]
  const counting = { windowMs: 300, pendingMs: 300 }
  // What an hour later leaves behind.
  for (const left of [
    ['n:all', '1'],
    ['p:all', `0 0 1 ${Date.now() + 3_600_000} 0 0`],
  ] as const) {
    await redis.cli('HSET', key, ...left)
    await redis.cli('PEXPIRE', key, 3_660_000)
    const refusal = await store.attempts.reserve(charges, counting)
    t.ok((refusal?.retryAfterMs ?? Number.NaN) <= counting.windowMs)
    await until(
      'it is over, however often others ask',
      async () => !(await store.attempts.reserve(charges, counting)),
    )
    await redis.cli('DEL', key)
  }
})

test('a damaged session that is revoked is dead', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  const key = keyOf(begun)
  const whole = String(await redis.cli('GET', key))
  const lines = whole.split('\n')
  const damaged = [
    'x',
    '',
    // Cut off after the fifth line, in it, and before it.
    ...[5, 4, 3].map((count) => lines.slice(0, count).join('\n')),
    lines.slice(0, 5).join('\n').slice(0, -3),
    `${whole}\n`,
    `${whole}\nreuse`,
    `${whole}\nreuse 5\n`,
  ]
  for (const record of damaged) {
    await redis.cli('SET', key, record, 'PX', '60000')
    t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked', JSON.stringify(record))
    t.equal((await store.families.look(begun.id)).family, undefined)
    t.equal((await store.families.advance(turn(begun, 0))).applied, false)
    t.equal(await store.families.revoke(begun.id, 'operator'), 'gone')
  }
})

test('a revocation that was there is written again, for WAIT to wait for', async (t) => {
  const { redis, store } = await begin(t)
  const { begun } = await signedIn(store)
  t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked')
  const record = await redis.cli('GET', keyOf(begun))
  const before = await callsOf(redis)
  t.equal(await store.families.revoke(begun.id, 'client'), 'already_revoked')
  t.equal((await callsOf(redis)).get('set'), (before.get('set') ?? 0) + 1)
  t.equal(await redis.cli('GET', keyOf(begun)), record, 'as it was')
  t.ok(Number(await redis.cli('PTTL', keyOf(begun))) > 0)
})

test('a family is small, however often it is turned', async (t) => {
  const { redis, store } = await begin(t)
  // The first keeps in mind what the measurement itself needs.
  await signedIn(store)
  const sessions = await Promise.all(Array.from({ length: 20 }, () => signedIn(store)))
  for (const { begun } of sessions.slice(0, 5)) {
    for (let from = 0; from < 100; from += 1) await store.families.advance(turn(begun, from))
    for (let i = 0; i < 10; i += 1) await store.families.noteReplay(begun.id, { generation: 100, run: 100 })
    const bytes = Number(await redis.cli('MEMORY', 'USAGE', keyOf(begun)))
    t.ok(bytes <= 300, `${bytes} bytes after 100 rotations`)
  }
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
  t.ok(bytes <= 400, `${Math.round(bytes)} bytes for a family and its place in the user's record`)
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
  const inside = [...after]
    .map(([name, calls]) => [name, calls - (before.get(name) ?? 0)])
    .filter(([name, calls]) => Number(calls) > 10 && name !== 'evalsha')
  // Each of them once for each refresh, and none from outside.
  t.strictSame(
    inside.sort(),
    ['get', 'hmget', 'pttl', 'set', 'time'].map((name) => [name, 50]),
  )
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

test('a damaged audit event keeps no other from being listed', async (t) => {
  const { redis, store } = await begin(t)
  const [first, second] = [1, 2].map((n) => recordOf({ event: 'user.changed', sub: `${n}` }))
  await store.audit.append([first!], 100)
  const cursors: unknown[] = []
  for (const json of ['{bad', 'null', '[]', '"x"', '{"id":"evt_x"}', JSON.stringify({ ...first, time: 5 })])
    cursors.push(await redis.cli('XADD', 'pawl:audit', '*', 'event', json))
  await store.audit.append([second!], 100)
  const listed = await gather(store.audit.list())
  t.strictSame(
    listed.found.map(({ record }) => record),
    [first, second],
  )
  t.match(listed.fault?.cause, { message: new RegExp(`audit event ${cursors[0]} cannot be read`) })
  const later = await gather(store.audit.list(String(cursors[0])))
  t.match(later.fault?.cause, { message: new RegExp(`audit event ${cursors[1]} is that of no event`) })

  const env = { STORE_URL: redis.url }
  for (const how of [[], ['--json']]) {
    const { code, stdout, stderr } = await runHere(['audit', 'list', ...how], env)
    t.equal(code, 1)
    t.match(stdout, second?.time, 'the command prints what it could read')
    t.match(stderr, String(cursors[0]), 'before it fails')
  }
})

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
    // The first creation may be under way yet, and a sign-in go by its epoch.
    t.strictSame(await store.users.findByUsername('ada'), { ...next, epoch: user.epoch })
    await store.users.delete(next)
  }
  await breakOff()
  const { passwordHash: _, ...vouchedFor } = user
  t.equal(await store.users.create(vouchedFor), 'created')
  t.strictSame(
    await store.users.findByUsername('ada'),
    vouchedFor,
    'without the password of the first creation',
  )
  await store.users.delete(vouchedFor)
  await breakOff()
  t.equal(await store.users.create(someUser({ sub: user.sub })), 'sub_taken', 'another user does not get it')
  t.equal(await redis.cli('EXISTS', `pawl:u:{${locator}}`), 1)
})
