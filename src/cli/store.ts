import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Client } from '../accounts/client.ts'
import { type User, userLocator } from '../accounts/user.ts'
import { readConfig, textOf } from '../config/config.ts'
import type { ClientStore, FamilyStore, Store, UserStore } from '../stores/contract.ts'
import { parseStoreUrl, redactStoreUrl, type StoreLocation } from '../stores/location.ts'
import { DamagedRecordError, passingOver } from '../stores/sound-records.ts'
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
    'are further on there stay as they are. Nothing is deleted there. What is there and not here is said, as is a damaged record,\n' +
    'which is not copied; the exit code is then 1. What only counts or reports is not copied: failed sign-ins, the networks that accounts are known from, audit events.',
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
  const here = damageTeller('here', count.clashes)
  const there = damageTeller('there', count.clashes)
  for await (const client of passingOver(source.clients.list(), here)) {
    const outcome = await passOver(copyClient(client, target.clients), there)
    if (outcome !== undefined) count[outcome ? 'clients' : 'unchanged'] += 1
  }
  for await (const users of batchesOf(passingOver(source.users.list(), here))) {
    const outcomes = await copyUsers(users, target.users, there)
    await Promise.all(
      users.map(async (user, i) => {
        const outcome = outcomes[i]
        if (outcome === undefined) return
        if (outcome === 'clash') {
          count.clashes.push(`${JSON.stringify(user.username)} is another user there: not copied`)
          return
        }
        count[outcome === 'copied' ? 'users' : 'unchanged'] += 1
        const sessions = await copySessions(
          userLocator(user.sub),
          source.families,
          target.families,
          here,
          there,
        )
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
  await findStrangers(source, target, count, there)
  return count
}

type OnDamage = (fault: DamagedRecordError) => void

/** Says of each damaged record once that it is there, and not copied. */
function damageTeller(where: string, clashes: string[]): OnDamage {
  const told = new Set<string>()
  return ({ cause }) => {
    const line = `Damaged ${where}, not copied: ${(cause as Error).message}`
    if (told.has(line)) return
    told.add(line)
    clashes.push(line)
  }
}

/** @returns `undefined` where a damaged record is in the way. */
function passOver<T>(work: Promise<T>, onDamage: OnDamage): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (!(error instanceof DamagedRecordError)) throw error
    onDamage(error)
    return undefined
  })
}

/** A damaged record is there, too. */
async function isThere(found: Promise<unknown>): Promise<boolean> {
  let isDamaged = false
  const onDamage = () => {
    isDamaged = true
  }
  return (await passOver(found, onDamage)) !== undefined || isDamaged
}

/** What was deleted here since an earlier copy lives on there; whether it should is not for a copy to say. */
async function findStrangers(
  source: Store,
  target: Store,
  { clashes }: Count,
  there: OnDamage,
): Promise<void> {
  for await (const { clientId } of passingOver(target.clients.list(), there)) {
    if (!(await isThere(source.clients.find(clientId)))) {
      clashes.push(`The client ${JSON.stringify(clientId)} is there and not here: left alone`)
    }
  }
  for await (const users of batchesOf(passingOver(target.users.list(), there))) {
    const here = await Promise.all(users.map(({ sub }) => isThere(source.users.find(sub))))
    for (const [i, { username }] of users.entries()) {
      if (!here[i]) clashes.push(`The user ${JSON.stringify(username)} is there and not here: left alone`)
    }
  }
}

async function copySessions(
  locator: string,
  from: FamilyStore,
  to: FamilyStore,
  here: OnDamage,
  there: OnDamage,
) {
  const count = { copied: 0, unchanged: 0 }
  const copied = new Set<string>()
  for (const family of await from.listOfUser(locator, MAX_SESSIONS, here)) {
    const outcome = await passOver(to.adopt(family), there)
    if (outcome !== undefined) count[outcome ? 'copied' : 'unchanged'] += 1
    copied.add(family.id)
  }
  // A session that was ended may not be listed any more, and was alive at an earlier copy.
  for (const { id, revoked } of await to.listOfUser(locator, MAX_SESSIONS, there)) {
    if (copied.has(id) || revoked) continue
    const view = await passOver(from.look(id), here)
    if (view?.family?.revoked) await to.revoke(id, view.family.revoked.reason)
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

async function copyUsers(
  all: readonly User[],
  users: UserStore,
  there: OnDamage,
): Promise<(Outcome | undefined)[]> {
  // One by one it is known which of them it is.
  const apart = async () => {
    const outcomes: (Outcome | undefined)[] = []
    for (const user of all) outcomes.push(await passOver(copyUser(user, users), there))
    return outcomes
  }
  const creations = await passOver(users.createMany(all), () => undefined)
  if (!creations) return apart()
  return Promise.all(
    all.map((user, i) =>
      creations[i] === 'created' ? ('copied' as const) : passOver(updateUser(user, users), there),
    ),
  )
}

async function copyUser(user: User, users: UserStore): Promise<Outcome> {
  return (await users.create(user)) === 'created' ? 'copied' : updateUser(user, users)
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
