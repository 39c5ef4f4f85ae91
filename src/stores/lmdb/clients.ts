import { type Client, clientIdFault } from '../../accounts/client.ts'
import type { ClientStore } from '../contract.ts'
import { allSound, readSound, soundClient } from '../sound-records.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

export function lmdbClients({ clients }: Databases, durably: Transact): ClientStore {
  const read = (clientId: string) =>
    readSound(
      `client ${clientId}`,
      () => clients.get(clientId),
      (record) => soundClient(clientId, record),
    )

  function look(clientId: string): Client | undefined {
    // LMDB throws at a key that is too long; nobody is registered under what is no client identifier.
    if (clientIdFault(clientId)) return undefined
    clients.resetReadTxn()
    return read(clientId)
  }

  return {
    find: async (clientId) => look(clientId),
    // Reading costs next to nothing here, so nothing is remembered.
    recall: look,
    create: (client) =>
      durably(() => {
        if (clients.doesExist(client.clientId)) return false
        void clients.put(client.clientId, client)
        return true
      }),
    change: (clientId, change) =>
      durably(() => {
        const client = clients.get(clientId)
        if (!client) return false
        void clients.put(clientId, { ...client, ...change })
        return true
      }),
    delete: (clientId) =>
      durably(() => {
        if (!clients.doesExist(clientId)) return false
        void clients.remove(clientId)
        return true
      }),
    async *list() {
      yield* allSound([...clients.getKeys()].map((key) => [async () => read(key)]))
    },
  }
}
