import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from './contract.ts'
import type { StoreLocation } from './location.ts'
import type { RedisSettings } from './redis/connection.ts'

export interface StoreSettings extends RedisSettings {
  /** Whether to clear ended sessions away where the store does not do so itself; one process of several is enough. */
  readonly sweeps?: boolean
}

/**
 * Opens the store at this location. Only its own kind is loaded: the other would be a tenth of the process's memory.
 *
 * @throws {StoreFileError} when the folder of an embedded store cannot be used.
 */
export async function openStore(location: StoreLocation, settings: StoreSettings): Promise<Store> {
  if (location.kind === 'lmdb') {
    const { openLmdbStore } = await import('./lmdb/store.ts')
    return openLmdbStore(location.folder, settings.sweeps ?? true)
  }
  const { openRedisStore } = await import('./redis/store.ts')
  return openRedisStore(location, settings)
}

/**
 * Waits until the store answers.
 *
 * @throws {UnavailableError} of the last attempt when it does not within `limitMs`.
 */
export async function untilReachable(store: Store, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      return await store.ping()
    } catch (error) {
      if (performance.now() >= end) throw error
      await sleep(50)
    }
  }
}
