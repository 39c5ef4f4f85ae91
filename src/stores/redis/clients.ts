import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../accounts/client.ts'
import type { ClientStore } from '../contract.ts'
import { allSound, soundClient } from '../sound-records.ts'
import { LEASE_MS, leaseClients } from './client-leases.ts'
import type { Connection } from './connection.ts'
import { inBatches } from './in-batches.ts'
import { CLIENTS_KEY, clientKey } from './keys.ts'
import { fieldsOf, recordOf, typed } from './record.ts'

export function redisClients({ ask, durably }: Connection): ClientStore {
  async function read(clientId: string): Promise<Client | undefined> {
    const of = `client ${clientId}`
    const fields = await typed(
      of,
      ask((redis) => redis.hgetall(clientKey(clientId))),
    )
    const record = recordOf(of, fields)
    return record && soundClient(clientId, record)
  }

  return {
    ...leaseClients(read),

    async create(client) {
      // Listed first: a listed client that is not there is passed over, one that is there must be listed.
      await ask((redis) => redis.sadd(CLIENTS_KEY, client.clientId))
      const created = await durably((redis) =>
        redis.recordCreate(clientKey(client.clientId), ...fieldsOf(client)),
      )
      // A deletion in between has taken it off the list.
      if (created === 1) await ask((redis) => redis.sadd(CLIENTS_KEY, client.clientId))
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
      const ids = await ask((redis) => redis.smembers(CLIENTS_KEY))
      yield* allSound(inBatches(ids.map((id) => () => read(id))))
    },
  }
}
