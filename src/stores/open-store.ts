import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from './contract.ts'
import { openLmdbStore } from './lmdb/store.ts'
import type { StoreLocation } from './location.ts'
import type { RedisSettings } from './redis/connection.ts'
import { openRedisStore } from './redis/store.ts'

/** Opens the store at this location. */
export function openStore(location: StoreLocation, settings: RedisSettings): Store {
  return location.kind === 'lmdb' ? openLmdbStore(location.folder) : openRedisStore(location, settings)
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
