import type { Client } from '../../accounts/client.ts'

/**
 * How long a server may go by what it read of a client, from the moment it asked. Whoever changes a client waits this
 * long before saying that it is done: nobody can then still go by the old record, and a refresh costs one round trip.
 */
export const LEASE_MS = 500
/** From this age on a record in use is read again, beside the requests that still go by it. */
const RENEW_AFTER_MS = LEASE_MS / 2
const MAX_LEASES = 10_000

interface Lease {
  readonly client: Client
  readonly since: number
  renewing: boolean
}

/** Remembers for a moment what `read` said of a client. Clients that are not there are not remembered. */
export function leaseClients(read: (clientId: string) => Promise<Client | undefined>) {
  const leases = new Map<string, Lease>()

  async function find(clientId: string): Promise<Client | undefined> {
    const since = performance.now()
    const client = await read(clientId)
    // Put at the end: the first entry is then the one that was read longest ago.
    leases.delete(clientId)
    if (client) {
      if (leases.size >= MAX_LEASES) leases.delete(leases.keys().next().value!)
      leases.set(clientId, { client, since, renewing: false })
    }
    return client
  }

  function recall(clientId: string): Client | undefined {
    const lease = leases.get(clientId)
    if (!lease) return undefined
    const age = performance.now() - lease.since
    if (age >= LEASE_MS) return undefined
    if (age >= RENEW_AFTER_MS && !lease.renewing) {
      lease.renewing = true
      // The lease still holds; if the store stays out of reach, the request after it hears of that.
      find(clientId).catch(() => undefined)
    }
    return lease.client
  }

  return { find, recall }
}
