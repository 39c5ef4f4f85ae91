import type { Store } from '../contract.ts'
import { redisAttempts } from './attempts.ts'
import { redisAudit } from './audit.ts'
import { redisClients } from './clients.ts'
import { connect, type RedisLocation, type RedisSettings } from './connection.ts'
import { redisFamilies } from './families.ts'
import { redisNetworks } from './networks.ts'
import { redisUsers } from './users.ts'

/** Opens the store in Redis. Returns at once; until there is a connection every verb throws `UnavailableError`. */
export function openRedisStore(location: RedisLocation, settings: RedisSettings): Store {
  const connection = connect(location, settings)
  return {
    clients: redisClients(connection),
    users: redisUsers(connection),
    families: redisFamilies(connection),
    audit: redisAudit(connection),
    attempts: redisAttempts(connection),
    networks: redisNetworks(connection),
    async ping() {
      await connection.ask((redis) => redis.ping())
    },
    close: connection.close,
  }
}
