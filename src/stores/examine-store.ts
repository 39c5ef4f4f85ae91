import type { Finding } from './finding.ts'
import type { StoreLocation } from './location.ts'
import type { RedisExpectations } from './redis/examine.ts'

/** Looks whether a store can be reached and keeps what it is told. Changes nothing in it. */
export async function examineStore(location: StoreLocation, expected: RedisExpectations): Promise<Finding[]> {
  if (location.kind === 'lmdb') return (await import('./lmdb/examine.ts')).examineLmdb(location.folder)
  return (await import('./redis/examine.ts')).examineRedis(location, expected)
}
