import { isDeepStrictEqual } from 'node:util'
import type { Client } from '../accounts/client.ts'
import { type User, userLocator } from '../accounts/user.ts'
import { readConfig } from '../config/config.ts'
import type { ClientStore, Store, UserStore } from '../stores/contract.ts'
import { parseStoreUrl, redactStoreUrl, type StoreLocation } from '../stores/location.ts'
import { openStore, untilReachable } from '../stores/open-store.ts'
import { type Command, CommandError, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { withStore } from './with-store.ts'

const PATIENCE_MS = 3000
/** No user has more sessions than a person could list. */
const MAX_SESSIONS = 10_000
const PROGRESS_MS = 1000
/** Users that are copied at once, with their sessions. */
const BATCH = 100

const copy: Command = {
  name: 'store copy',
  operands: '',
  summary: 'copy every client, user and session to another store, such as from lmdb: to redis:',
  details:
    'From the store of STORE_URL. Make it while the servers run, stop them, make it again, which brings what is there up\n' +
    'to date, point STORE_URL at the new store, keep KEYS_DIR, and start. Without the second copy a sign-in, a revocation or\n' +
    'an account change in between is lost; a session that was only refreshed goes on, because its client holds the proof.\n' +
    'Sessions that are further on there stay as they are. What only counts or reports is not copied: failed sign-ins,\n' +
    'the networks that accounts are known from, audit events.',
  options: { to: { type: 'string', value: 'STORE_URL', help: 'the other store' }, ...JSON_OPTION },
  async run(args, surroundings) {
    noOperands(args)
    const { to } = args.values
    if (typeof to !== 'string') throw new UsageError('--to STORE_URL is missing')
    if (to === readConfig(surroundings.environment).storeUrl)
      throw new UsageError('--to names the store of STORE_URL itself')
    const target = openStore(readTarget(to), { waitReplicas: 0, onChange: () => undefined })
    try {
      await untilReachable(target, PATIENCE_MS).catch(() => {
        throw new CommandError(`The store ${redactStoreUrl(to)} does not answer: is it running?`)
      })
      const count = await withStore(surroundings, (source) => copyAll(source, target, surroundings.tell))
      surroundings.print(
        args.values.json
          ? JSON.stringify(count)
          : `Copied ${count.clients} clients, ${count.users} users and ${count.sessions} sessions; ` +
              `${count.unchanged} were there already`,
      )
      for (const clash of count.clashes) surroundings.tell(clash)
      return count.clashes.length === 0 ? 0 : 1
    } finally {
      await target.close()
    }
  },
}

function readTarget(url: string): StoreLocation {
  try {
    return parseStoreUrl(url)
  } catch (error) {
    throw new UsageError(`--to ${(error as Error).message}`)
  }
}

interface Count {
  clients: number
  users: number
  sessions: number
  /** Clients, users and sessions that were there as they are here, or further on. */
  unchanged: number
  readonly clashes: string[]
}

async function copyAll(source: Store, target: Store, tell: (line: string) => void): Promise<Count> {
  const count: Count = { clients: 0, users: 0, sessions: 0, unchanged: 0, clashes: [] }
  let told = performance.now()
  for await (const client of source.clients.list()) {
    if (await copyClient(client, target.clients)) count.clients += 1
    else count.unchanged += 1
  }
  for await (const users of batchesOf(source.users.list())) {
    const outcomes = await copyUsers(users, target.users)
    await Promise.all(
      users.map(async (user, i) => {
        const outcome = outcomes[i]
        if (outcome === 'clash') {
          count.clashes.push(`${JSON.stringify(user.username)} is another user there: not copied`)
          return
        }
        count[outcome === 'copied' ? 'users' : 'unchanged'] += 1
        for (const family of await source.families.listOfUser(userLocator(user.sub), MAX_SESSIONS)) {
          count[(await target.families.adopt(family)) ? 'sessions' : 'unchanged'] += 1
        }
      }),
    )
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now()
      tell(`${count.users} users and ${count.sessions} sessions so far`)
    }
  }
  return count
}

async function* batchesOf<T>(all: AsyncIterable<T>): AsyncIterable<T[]> {
  let batch: T[] = []
  for await (const one of all) {
    batch.push(one)
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  yield batch
}

/** @returns whether it was new there, or different. */
async function copyClient(client: Client, clients: ClientStore): Promise<boolean> {
  if (await clients.create(client)) return true
  const { clientId, createdAt: _, ...members } = client
  if (isDeepStrictEqual(await clients.find(clientId), client)) return false
  return clients.change(clientId, members)
}

type Outcome = 'copied' | 'unchanged' | 'clash'

async function copyUsers(all: readonly User[], users: UserStore): Promise<Outcome[]> {
  const creations = await users.createMany(all)
  return Promise.all(
    all.map(async (user, i) => (creations[i] === 'created' ? 'copied' : updateUser(user, users))),
  )
}

async function updateUser(user: User, users: UserStore): Promise<Outcome> {
  const there = await users.findByUsername(user.username)
  if (there?.sub !== user.sub) return 'clash'
  if (isDeepStrictEqual(there, user)) return 'unchanged'
  const { sub, username: _, createdAt: __, ...members } = user
  await users.change(sub, members)
  return 'copied'
}

export const STORE_COMMANDS: readonly Command[] = [copy]
