import { type User, userLocator, withoutSessions } from '../src/accounts/user.ts'
import type { Store } from '../src/stores/contract.ts'
import { parseStoreUrl } from '../src/stores/location.ts'
import { openStore, untilReachable } from '../src/stores/open-store.ts'
import { base36, beginningOf } from '../src/stores/redis/family-record.ts'
import { familyKey, indexMember, sessionsKey } from '../src/stores/redis/keys.ts'
import { runCli } from '../test/support/processes.ts'
import { startRedis } from '../test/support/redis.ts'
import { createAccounts } from './accounts.ts'
import { CLIENT, familyOf, IDLE_MS, MAX_MS } from './registration.ts'
import { quantile } from './statistics.ts'

/*
 * How sessions are listed, ended and refreshed where there are very many of them, on a Redis of its own:
 *
 *     node dist/bench/many-sessions.js [sessions, by default 1000000]
 */
const SESSIONS = Number(process.argv[2] ?? 1_000_000)
if (!Number.isSafeInteger(SESSIONS) || SESSIONS < 1) {
  console.error('usage: node dist/bench/many-sessions.js [sessions, by default 1000000]')
  process.exit(64)
}
const PER_USER = 100
/** Of one user, who never signs out. */
const HOARD = 5000
const ROUNDS = 1000

/** Writes families as familyCreate does, many in one go; what it is about is not how they came to be. */
const FILL = `
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'PXAT', ARGV[2])
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[i + 2])
end`

const redis = await startRedis()
const client = redis.client()
const store = await openStore(parseStoreUrl(redis.url), { waitReplicas: 0, onChange: () => undefined })
try {
  await untilReachable(store, 10_000)
  const [hoarder, ...users] = (await createAccounts(store, Math.ceil(SESSIONS / PER_USER) + 1)) as [
    User,
    ...User[],
  ]
  const begin = performance.now()
  await Promise.all(Array.from({ length: HOARD / PER_USER }, () => fill(hoarder, PER_USER)))
  for (let at = 0; at < users.length; at += 50)
    await Promise.all(users.slice(at, at + 50).map((user) => fill(user, PER_USER)))
  const seconds = (performance.now() - begin) / 1000
  const memory = /^used_memory_human:(\S+)/m.exec(await client.info('memory'))?.[1]
  console.log(`${await client.dbsize()} keys, ${memory}, written in ${seconds.toFixed(1)} s`)

  const someone = () => users[Math.floor(Math.random() * users.length)]!
  await measure('refresh (advance)', ROUNDS, async () => {
    const [family] = await store.families.listOfUser(userLocator(someone().sub), 1)
    const begin = performance.now()
    await store.families.advance({
      id: family!.id,
      from: family!.generation,
      to: family!.generation + 1,
      clientId: CLIENT.clientId,
      clientEpoch: CLIENT.epoch,
      sender: { network: '203.0.113.0/24', agent: '' },
      idleMs: IDLE_MS,
    })
    return performance.now() - begin
  })
  await measure(`list ${PER_USER} sessions of a user`, 200, () =>
    timed(() => store.families.listOfUser(userLocator(someone().sub), 1000)),
  )
  await measure(`list 1000 of the ${HOARD} sessions of a user`, 5, () =>
    timed(() => store.families.listOfUser(userLocator(hoarder.sub), 1000)),
  )
  await measure('sign in where the user has as many as may be', 200, () => {
    const user = someone()
    return timed(() => store.families.create({ ...familyOf(user), maxSessions: PER_USER }))
  })
  await measure('revoke one', 200, async () => {
    const [family] = await store.families.listOfUser(userLocator(someone().sub), 1)
    return timed(() => store.families.revoke(family!.id, 'operator'))
  })
  await measure('sign a user out everywhere', 200, () => {
    const user = someone()
    return timed(() => store.users.change(user.sub, withoutSessions(user)))
  })
  const env = { STORE_URL: redis.url }
  for (const args of [
    ['list', '--user', users[0]!.username],
    ['revoke', '--user', users[0]!.username],
    ['list', '--client', CLIENT.clientId, '--limit', '100'],
  ]) {
    const ms = await timed(async () => {
      const { code, stderr } = await runCli(['session', ...args], { env })
      if (code !== 0) throw new Error(stderr)
    })
    console.log(`pawl session ${args.join(' ')}: ${ms.toFixed(0)} ms, the start of Node counted`)
  }
  console.log(`walk through all: ${((await timed(() => walk(store))) / 1000).toFixed(1)} s`)
} finally {
  await store.close()
  client.disconnect()
  await redis.stop()
}

async function fill(user: User, count: number): Promise<void> {
  const families = Array.from({ length: count }, () => familyOf(user))
  const keys = [sessionsKey(userLocator(user.sub)), ...families.map(({ id }) => familyKey(id))]
  const members = families.map(({ id }) => indexMember(id))
  const [before, after] = beginningOf(families[0]!)
  const now = Date.now()
  const record = before + base36(now) + after
  await client.eval(FILL, keys.length, ...keys, record, now + IDLE_MS, now + MAX_MS, ...members)
}

async function walk(store: Store): Promise<void> {
  for await (const _ of store.families.listOfClient('nobody')) throw new Error('nobody has a session')
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

async function measure(what: string, rounds: number, once: () => Promise<number>): Promise<void> {
  const times: number[] = []
  for (let round = 0; round < rounds; round += 1) times.push(await once())
  times.sort((a, b) => a - b)
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(times, q).toFixed(2))
  console.log(`${what}: p50 ${p50} ms, p99 ${p99} ms (${rounds} rounds)`)
}
