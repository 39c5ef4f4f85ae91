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

/** Lets `read` be asked for one client at most a few times a second. Clients that are not there are not remembered. */
export function leased(read: (clientId: string) => Promise<Client | undefined>) {
  const leases = new Map<string, Lease>()
  const reading = new Map<string, { since: number; answer: Promise<Client | undefined> }>()

  function readOnce(clientId: string): Promise<Client | undefined> {
    const underWay = reading.get(clientId)
    const since = performance.now()
    // A read that has been out for longer than a lease may bring what a change has already made untrue.
    if (underWay && since - underWay.since < LEASE_MS) return underWay.answer
    const answer = read(clientId)
      .then((client) => {
        leases.delete(clientId)
        if (client) {
          if (leases.size >= MAX_LEASES) leases.delete(leases.keys().next().value!)
          leases.set(clientId, { client, since, renewing: false })
        }
        return client
      })
      .finally(() => {
        if (reading.get(clientId)?.since === since) reading.delete(clientId)
      })
    reading.set(clientId, { since, answer })
    return answer
  }

  return async (clientId: string): Promise<Client | undefined> => {
    const lease = leases.get(clientId)
    const age = lease ? performance.now() - lease.since : Number.POSITIVE_INFINITY
    if (!lease || age >= LEASE_MS) return readOnce(clientId)
    if (age >= RENEW_AFTER_MS && !lease.renewing) {
      lease.renewing = true
      // The lease still holds; if the store stays out of reach, the request after it hears of that.
      readOnce(clientId).catch(() => undefined)
    }
    return lease.client
  }
}
