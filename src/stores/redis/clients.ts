import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../accounts/client.ts'
import type { ClientStore } from '../contract.ts'
import { LEASE_MS, leased } from './client-leases.ts'
import type { Connection } from './connection.ts'
import { CLIENTS_KEY, clientKey } from './keys.ts'
import { fieldsOf, recordOf } from './record.ts'

export function redisClients({ ask, durably }: Connection): ClientStore {
  const read = async (clientId: string) =>
    recordOf<Client>(await ask((redis) => redis.hgetall(clientKey(clientId))))

  return {
    find: leased(read),

    async create(client) {
      // Listed first: a listed client that is not there is passed over, one that is there must be listed.
      await ask((redis) => redis.sadd(CLIENTS_KEY, client.clientId))
      const created = await durably((redis) =>
        redis.recordCreate(clientKey(client.clientId), ...fieldsOf(client)),
      )
      return created === 1
    },

    async change(clientId, change) {
      const changed = await durably((redis) => redis.recordChange(clientKey(clientId), ...fieldsOf(change)))
      await sleep(LEASE_MS)
      return changed === 1
    },

    async delete(clientId) {
      const deleted = await durably((redis) => redis.del(clientKey(clientId)))
      await ask((redis) => redis.srem(CLIENTS_KEY, clientId))
      await sleep(LEASE_MS)
      return deleted === 1
    },

    async *list() {
      for (const clientId of await ask((redis) => redis.smembers(CLIENTS_KEY))) {
        const client = await read(clientId)
        if (client) yield client
      }
    },
  }
}
