import type { Finding } from './finding.ts'
import { examineLmdb } from './lmdb/examine.ts'
import type { StoreLocation } from './location.ts'
import { examineRedis, type RedisExpectations } from './redis/examine.ts'

/** Looks whether a store can be reached and keeps what it is told. Changes nothing in it. */
export function examineStore(location: StoreLocation, expected: RedisExpectations): Promise<Finding[]> {
  return location.kind === 'lmdb' ? examineLmdb(location.folder) : examineRedis(location, expected)
}
