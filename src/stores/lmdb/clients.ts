import { clientIdFault } from '../../accounts/client.ts'
import type { ClientStore } from '../contract.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

export function lmdbClients({ clients }: Databases, durably: Transact): ClientStore {
  return {
    async find(clientId) {
      // LMDB throws at a key that is too long; nobody is registered under what is no client identifier.
      if (clientIdFault(clientId)) return undefined
      clients.resetReadTxn()
      return clients.get(clientId)
    },
    // Reading costs nothing here, so nothing is remembered.
    recall: () => undefined,
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
      for (const { value } of clients.getRange()) yield value
    },
  }
}
