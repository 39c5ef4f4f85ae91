import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'
import type { Client } from '../../accounts/client.ts'
import type { User } from '../../accounts/user.ts'
import type { Family } from '../../tokens/family.ts'
import type { Store } from '../contract.ts'
import { lmdbClients } from './clients.ts'
import { lmdbFamilies } from './families.ts'
import { startSweep } from './sweep.ts'
import { lmdbUsers } from './users.ts'

/** The named databases of the one LMDB environment; docs/storage.md lists what is in them. */
export function openDatabases(root: RootDatabase) {
  return {
    clients: root.openDB<Client, string>({ name: 'clients' }),
    users: root.openDB<User, string>({ name: 'users' }),
    usernames: root.openDB<string, string>({ name: 'usernames' }),
    families: root.openDB<Family, string>({ name: 'families' }),
  }
}

export type Databases = ReturnType<typeof openDatabases>

/** Runs a callback in a write transaction; resolves with its result when that is on disk. */
export type Durably = <T>(change: () => T) => Promise<T>

/**
 * Opens, or begins, the embedded store in a folder. Several processes may have it open.
 *
 * @throws when the folder cannot be made or its content is no LMDB environment.
 */
export function openLmdbStore(folder: string): Store {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const root = open({
    path: folder,
    noSubdir: false,
    maxDbs: 8,
    // A transaction's promise then means "flushed", not "will be flushed soon".
    overlappingSync: false,
    permissions: 0o600,
  } as Parameters<typeof open>[0])
  const databases = openDatabases(root)
  const durably: Durably = (change) => root.transaction(change)
  const stopSweep = startSweep(databases, durably)
  return {
    clients: lmdbClients(databases, durably),
    users: lmdbUsers(databases, durably),
    families: lmdbFamilies(databases, durably),
    async ping() {
      root.getStats()
    },
    async close() {
      stopSweep()
      await root.close()
    },
  }
}
