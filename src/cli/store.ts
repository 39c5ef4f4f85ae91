import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Client } from '../accounts/client.ts'
import { type User, userLocator } from '../accounts/user.ts'
import { readConfig, textOf } from '../config/config.ts'
import type { ClientStore, FamilyStore, Store, UserStore } from '../stores/contract.ts'
import { parseStoreUrl, redactStoreUrl, type StoreLocation } from '../stores/location.ts'
import { type Command, CommandError, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { openReachable, withStore } from './with-store.ts'

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
    'From the store of STORE_URL to the one of TO_STORE_URL, a variable, since an option with a password in it can be seen\n' +
    'by others; or of --to. Make it while the servers run, stop them, make it again, which brings what is there up to date,\n' +
    'point STORE_URL at the new store, keep KEYS_DIR, and start. Without the second copy a sign-in, a revocation or an account\n' +
    'change in between is lost; a session that was only refreshed goes on, because its client holds the proof. Sessions that\n' +
    'are further on there stay as they are. Nothing is deleted there: what is there and not here is said, and the exit code is\n' +
    'then 1. What only counts or reports is not copied: failed sign-ins, the networks that accounts are known from, audit events.',
  options: { to: { type: 'string', value: 'STORE_URL', help: 'the other store' }, ...JSON_OPTION },
  async run(args, surroundings) {
    noOperands(args)
    const { environment, print, tell } = surroundings
    const to = args.values.to ?? textOf(environment, 'TO_STORE_URL')
    if (typeof to !== 'string') throw new UsageError('TO_STORE_URL, or --to STORE_URL, is missing')
    const location = readTarget(to)
    const { store } = readConfig(environment)
    if (store.kind === 'lmdb' && !existsSync(join(store.folder, 'data.mdb')))
      throw new CommandError(`There is no store in ${store.folder}: what does STORE_URL name?`)
    if (isSame(location, store)) throw new UsageError('the other store is the store of STORE_URL itself')
    const target = await openReachable(location, `The store ${redactStoreUrl(to)}`, 0)
    try {
      const count = await withStore(surroundings, (source) => copyAll(source, target, tell))
      print(
        args.values.json
          ? JSON.stringify(count)
          : `Copied ${count.clients} clients, ${count.users} users and ${count.sessions} sessions; ` +
              `${count.unchanged} were there already`,
      )
      for (const clash of count.clashes) tell(clash)
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
    throw new UsageError(`the other store’s URL ${(error as Error).message}`)
  }
}

function isSame(one: StoreLocation, other: StoreLocation): boolean {
  if (one.kind === 'lmdb' && other.kind === 'lmdb') return resolve(one.folder) === resolve(other.folder)
  return isDeepStrictEqual(one, other)
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
        const sessions = await copySessions(userLocator(user.sub), source.families, target.families)
        count.sessions += sessions.copied
        count.unchanged += sessions.unchanged
        if (sessions.copied + sessions.unchanged >= MAX_SESSIONS) {
          count.clashes.push(
            `${JSON.stringify(user.username)} has more sessions than ${MAX_SESSIONS}: not all are copied`,
          )
        }
      }),
    )
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now()
      tell(`${count.users} users and ${count.sessions} sessions so far`)
    }
  }
  await findStrangers(source, target, count)
  return count
}

/** What was deleted here since an earlier copy lives on there; whether it should is not for a copy to say. */
async function findStrangers(source: Store, target: Store, { clashes }: Count): Promise<void> {
  for await (const { clientId } of target.clients.list()) {
    if (!(await source.clients.find(clientId))) {
      clashes.push(`The client ${JSON.stringify(clientId)} is there and not here: left alone`)
    }
  }
  for await (const users of batchesOf(target.users.list())) {
    const here = await Promise.all(users.map(({ sub }) => source.users.find(sub)))
    for (const [i, { username }] of users.entries()) {
      if (!here[i]) clashes.push(`The user ${JSON.stringify(username)} is there and not here: left alone`)
    }
  }
}

async function copySessions(locator: string, from: FamilyStore, to: FamilyStore) {
  const count = { copied: 0, unchanged: 0 }
  const copied = new Set<string>()
  for (const family of await from.listOfUser(locator, MAX_SESSIONS)) {
    count[(await to.adopt(family)) ? 'copied' : 'unchanged'] += 1
    copied.add(family.id)
  }
  // A session that was ended may not be listed any more, and was alive at an earlier copy.
  for (const { id, revoked } of await to.listOfUser(locator, MAX_SESSIONS)) {
    if (copied.has(id) || revoked) continue
    const { family } = await from.look(id)
    if (family?.revoked) await to.revoke(id, family.revoked.reason)
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
  const there = await users.find(user.sub)
  if (!there) return 'clash'
  if (isDeepStrictEqual(there, user)) return 'unchanged'
  const { sub, username, createdAt: _, ...members } = user
  if (there.username !== username && (await users.rename(there, username)) !== 'renamed') return 'clash'
  await users.change(sub, members)
  return 'copied'
}

export const STORE_COMMANDS: readonly Command[] = [copy]
