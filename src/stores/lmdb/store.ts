import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type Key, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import type { Client } from '../../accounts/client.ts'
import type { User } from '../../accounts/user.ts'
import type { AuditRecord } from '../../audit/event.ts'
import type { Family } from '../../tokens/family.ts'
import type { Store } from '../contract.ts'
import { type AttemptRecord, lmdbAttempts } from './attempts.ts'
import { lmdbAudit } from './audit.ts'
import { lmdbClients } from './clients.ts'
import { lmdbFamilies } from './families.ts'
import { lmdbNetworks, type NetworksRecord } from './networks.ts'
import { ownsKey, Records } from './records.ts'
import { requireSoundPages, requireStoreFile, StoreFileError } from './store-file.ts'
import { startSweep } from './sweep.ts'
import { lmdbUsers } from './users.ts'
import { lmdbWrites } from './writes.ts'

/** The named databases of the one LMDB environment; docs/storage.md lists what is in them. */
export function openDatabases(root: RootDatabase) {
  const records = <Value, K extends Key = string>(name: Name) =>
    new Records(name, root.openDB<Value, K>({ name }))
  return {
    clients: records<Client>('clients'),
    users: records<User>('users'),
    usernames: records<string>('usernames'),
    families: records<Family>('families'),
    audit: records<AuditRecord, number>('audit'),
    sessions: records<readonly string[]>('sessions'),
    attempts: records<AttemptRecord>('attempts'),
    networks: records<NetworksRecord>('networks'),
  } satisfies Record<Name, unknown>
}

export const NAMES = [
  'clients',
  'users',
  'usernames',
  'families',
  'audit',
  'sessions',
  'attempts',
  'networks',
] as const
type Name = (typeof NAMES)[number]

export type Databases = ReturnType<typeof openDatabases>

/**
 * Opens, or begins, the embedded store in a folder. Several processes may have it open.
 *
 * @param sweeps whether to clear away what has ended.
 * @throws when the folder cannot be made or its content is no LMDB environment.
 */
export function openLmdbStore(folder: string, sweeps = true): Store {
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new StoreFileError(`${folder} is no folder. Name one in STORE_URL, as lmdb:FOLDER.`)
  }
  try {
    makeFolder(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StoreFileError(
      `The folder ${folder} cannot be made (${code}). Name another in STORE_URL, or let this user make it.`,
    )
  }
  // LMDB maps the file as it is and crashes where it is none of its own.
  const path = join(folder, 'data.mdb')
  requireStoreFile(path)
  const options = {
    path: folder,
    noSubdir: false,
    maxDbs: 16,
    // The two say together what a committed transaction is: its data is on disk, in full before what names it. So a loss
    // of power undoes at most the last one, and never tears the file (docs/decisions/0014-lmdb-writes.md).
    overlappingSync: false,
    noMetaSync: true,
    // Otherwise the library makes a promise of its own for what is written in one turn, and when the disk refuses it the
    // rejection, which nobody can hear, ends the process. What belongs together is in one transaction here anyway.
    eventTurnBatching: false,
    // Known to the library, unknown to its types.
    permissionsMode: 0o600,
  }
  const root = openFile(folder, options)
  try {
    requireSound(root, path)
    return storeOf(root, folder, sweeps)
  } catch (error) {
    // What is wrong with it is said by the first error.
    root.close().catch(() => undefined)
    throw error
  }
}

function storeOf(root: RootDatabase, folder: string, sweeps: boolean): Store {
  const databases = openDatabases(root)
  const writes = lmdbWrites(root, folder)
  const { durably, committed } = writes
  const stopSweep = sweeps ? startSweep(databases, committed) : () => undefined
  return {
    clients: lmdbClients(databases, durably),
    users: lmdbUsers(databases, durably),
    families: lmdbFamilies(databases, writes),
    audit: lmdbAudit(databases, durably),
    attempts: lmdbAttempts(databases, committed),
    networks: lmdbNetworks(databases, committed),
    // Whoever can read may yet be unable to write: another process may hold the lock, and the disk may be stuck.
    ping: () => committed(() => undefined),
    async close() {
      stopSweep()
      await writes.finish()
      await root.close()
    },
  }
}

/** What the library says of a file that it cannot open names nothing. */
function openFile(folder: string, options: RootDatabaseOptionsWithPath): RootDatabase {
  try {
    return open(options)
  } catch (error) {
    throw new StoreFileError(
      `The store in ${folder} cannot be opened (${(error as Error).message}). Let this user read and write it, or name ` +
        'another folder in STORE_URL; if another process opened or closed it at this moment, try again.',
    )
  }
}

/** Before anything in it is read, or written. */
function requireSound(root: RootDatabase, path: string): void {
  const reading = root.useReadTransaction()
  try {
    requireSoundPages(path, new Set(NAMES), ownsKey)
  } finally {
    reading.done()
  }
}

// Step by step: told to make all of a path, Node never ends where the system says that a folder in it cannot be.
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(resolve(folder)))
  mkdirSync(folder, { mode: 0o700 })
}
