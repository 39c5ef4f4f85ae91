import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from './contract.ts'
import { openLmdbStore } from './lmdb/store.ts'
import type { StoreLocation } from './location.ts'
import type { RedisSettings } from './redis/connection.ts'
import { openRedisStore } from './redis/store.ts'

export interface StoreSettings extends RedisSettings {
  /** Whether to clear ended sessions away where the store does not do so itself; one process of several is enough. */
  readonly sweeps?: boolean
}

/** Opens the store at this location. */
export function openStore(location: StoreLocation, settings: StoreSettings): Store {
  return location.kind === 'lmdb'
    ? openLmdbStore(location.folder, settings.sweeps ?? true)
    : openRedisStore(location, settings)
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
