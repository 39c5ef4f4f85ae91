import type { Test } from 'tap'
import type { Store } from '../../src/stores/contract.ts'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import type { RedisSettings } from '../../src/stores/redis/connection.ts'

/**
 * Opens one more handle on the store, as one more server would; it is closed when the test is over.
 *
 * @throws {UnavailableError} when the store does not answer within `limitMs`.
 */
export async function openHandle(
  t: Test,
  url: string,
  { limitMs = 10_000, ...settings }: Partial<RedisSettings> & { limitMs?: number } = {},
): Promise<Store> {
  const store = await openStore(parseStoreUrl(url), {
    waitReplicas: 0,
    onChange: () => undefined,
    ...settings,
  })
  t.teardown(() => store.close())
  await untilReachable(store, limitMs)
  return store
}
