import { Cluster } from 'ioredis'
import type { RedisClient } from './connection.ts'

/** How many keys will expire, on all primaries: Redis keeps count of them. */
export async function countExpiring(redis: RedisClient): Promise<number> {
  const connection: unknown = redis
  if (connection instanceof Cluster) {
    const counts = await Promise.all(
      connection.nodes('master').map(async (node) => expiringIn(await node.info('keyspace'), 0)),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }
  return expiringIn(await redis.info('keyspace'), redis.options.db ?? 0)
}

/** From a line such as `db0:keys=12,expires=9,avg_ttl=0`; a database without keys has none. */
function expiringIn(keyspace: string, db: number): number {
  return Number(new RegExp(`^db${db}:.*\\bexpires=(\\d+)`, 'm').exec(keyspace)?.[1] ?? 0)
}
