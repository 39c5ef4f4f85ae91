import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { Client } from '../../accounts/client.ts'
import type { User } from '../../accounts/user.ts'
import type { AuditRecord } from '../../audit/event.ts'
import type { Family } from '../../tokens/family.ts'
import type { Store } from '../contract.ts'
import { answersWithin } from '../in-time.ts'
import { StoreFileError } from '../store-file-error.ts'
import { type AttemptRecord, lmdbAttempts } from './attempts.ts'
import { lmdbAudit } from './audit.ts'
import { lmdbClients } from './clients.ts'
import { lmdbFamilies } from './families.ts'
import { lmdbNetworks, type NetworksRecord } from './networks.ts'
import { startSweep } from './sweep.ts'
import { lmdbUsers } from './users.ts'

/** The named databases of the one LMDB environment; docs/storage.md lists what is in them. */
export function openDatabases(root: RootDatabase) {
  return {
    clients: root.openDB<Client, string>({ name: 'clients' }),
    users: root.openDB<User, string>({ name: 'users' }),
    usernames: root.openDB<string, string>({ name: 'usernames' }),
    families: root.openDB<Family, string>({ name: 'families' }),
    audit: root.openDB<AuditRecord, number>({ name: 'audit' }),
    sessions: root.openDB<readonly string[], string>({ name: 'sessions' }),
    attempts: root.openDB<AttemptRecord, string>({ name: 'attempts' }),
    networks: root.openDB<NetworksRecord, string>({ name: 'networks' }),
  }
}

export type Databases = ReturnType<typeof openDatabases>

/** A disk that takes longer than this is out of order; the request is answered within a second. */
const FLUSH_MS = 900

/**
 * Runs a callback in a write transaction; resolves with its result when that is on disk.
 *
 * @throws {UnavailableError} when the disk is full, broken or too slow.
 */
export type Durably = <T>(change: () => T) => Promise<T>

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
  requireLmdb(folder)
  const options = {
    path: folder,
    noSubdir: false,
    maxDbs: 16,
    // A transaction's promise then means "flushed", not "will be flushed soon".
    overlappingSync: false,
    // Known to the library, unknown to its types.
    permissionsMode: 0o600,
  }
  const root = open(options)
  const databases = openDatabases(root)
  const inTime = answersWithin(FLUSH_MS)
  const underWay = new Set<Promise<unknown>>()
  const durably: Durably = (change) =>
    inTime(() => {
      const written = root.transaction(change).catch((error) => {
        // A second promise tells of the same failure; unheard it would end the process.
        error?.commitError?.catch?.(() => undefined)
        throw error
      })
      underWay.add(written)
      const over = () => underWay.delete(written)
      written.then(over, over)
      return written
    })
  const stopSweep = sweeps ? startSweep(databases, durably) : () => undefined
  return {
    clients: lmdbClients(databases, durably),
    users: lmdbUsers(databases, durably),
    families: lmdbFamilies(databases, durably),
    audit: lmdbAudit(databases, durably),
    attempts: lmdbAttempts(databases, durably),
    networks: lmdbNetworks(databases, durably),
    async ping() {
      root.getStats()
    },
    async close() {
      stopSweep()
      // A write that nobody waits for any more may still be under way. Closed over it, LMDB keeps its lock, and whoever
      // opens the store next in this process waits for ever.
      await Promise.allSettled(underWay)
      await root.close()
    },
  }
}

// Step by step: told to make all of a path, Node never ends where the system says that a folder in it cannot be.
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(resolve(folder)))
  mkdirSync(folder, { mode: 0o700 })
}

// The header has the transaction in it, unlike that of plain LMDB.
const META_PAGE_HEADER_BYTES = 24
const LMDB_MAGIC = 0xbeefc0de

/** LMDB maps the file as it is and crashes where it is none of its own; this looks first, as far as a look can tell. */
function requireLmdb(folder: string): void {
  const path = join(folder, 'data.mdb')
  if (!existsSync(path)) return
  const head = Buffer.alloc(META_PAGE_HEADER_BYTES + 4)
  const file = openSync(path, 'r')
  readSync(file, head)
  closeSync(file)
  if (head.readUInt32LE(META_PAGE_HEADER_BYTES) !== LMDB_MAGIC) {
    throw new StoreFileError(
      `${path} is damaged, or is no LMDB file. Put it back from a backup, or name another folder.`,
    )
  }
}
