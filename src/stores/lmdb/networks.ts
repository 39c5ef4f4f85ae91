import { usernameKey } from '../../accounts/user.ts'
import type { NetworkStore } from '../contract.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** The networks of one user name. Times are milliseconds since 1970. */
export interface NetworksRecord {
  /** When the last of them is forgotten. */
  readonly expiresAt: number
  /** The one that was noted last comes first. */
  readonly known: readonly { readonly digest: string; readonly notedAt: number }[]
}

export function lmdbNetworks({ networks }: Databases, committed: Transact): NetworkStore {
  /** In a record that is damaged no network is known; the next good sign-in makes it anew. */
  function knownOf(key: string): NetworksRecord['known'] {
    try {
      const known = networks.get(key)?.known ?? []
      return known.filter(({ digest, notedAt }) => typeof digest === 'string' && Number.isFinite(notedAt))
    } catch {
      return []
    }
  }

  return {
    async isKnown(username, digests, ms) {
      networks.resetReadTxn()
      const now = Date.now()
      const known = knownOf(usernameKey(username))
      return known.some(({ digest, notedAt }) => notedAt > now - ms && digests.includes(digest))
    },
    note: (username, digest, memory) =>
      committed(() => {
        const now = Date.now()
        const key = usernameKey(username)
        const others = knownOf(key).filter((one) => one.digest !== digest && one.notedAt > now - memory.ms)
        const known = [{ digest, notedAt: now }, ...others].slice(0, memory.networks)
        void networks.put(key, { expiresAt: now + memory.ms, known })
      }),
  }
}
