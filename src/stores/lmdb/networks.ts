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
  return {
    async isKnown(username, digests, ms) {
      networks.resetReadTxn()
      const now = Date.now()
      const known = networks.get(usernameKey(username))?.known ?? []
      return known.some(({ digest, notedAt }) => notedAt > now - ms && digests.includes(digest))
    },
    note: (username, digest, memory) =>
      committed(() => {
        const now = Date.now()
        const key = usernameKey(username)
        const others = (networks.get(key)?.known ?? []).filter(
          (one) => one.digest !== digest && one.notedAt > now - memory.ms,
        )
        const known = [{ digest, notedAt: now }, ...others].slice(0, memory.networks)
        void networks.put(key, { expiresAt: now + memory.ms, known })
      }),
  }
}
