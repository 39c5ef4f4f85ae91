import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
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
import { requireWhole, StoreFileError } from './store-file.ts'
import { startSweep } from './sweep.ts'
import { lmdbUsers } from './users.ts'
import { lmdbWrites, roomIn } from './writes.ts'

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
  if (existsSync(path)) requireWhole(path)
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
  const root = open(options)
  const databases = openDatabases(root)
  const writes = lmdbWrites(root, roomIn(folder))
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

// Step by step: told to make all of a path, Node never ends where the system says that a folder in it cannot be.
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(resolve(folder)))
  mkdirSync(folder, { mode: 0o700 })
}
