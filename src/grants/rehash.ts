import type { PasswordHashing } from '../accounts/password-hashing.ts'
import { isPrefixAlone, needsRehash } from '../accounts/stored-hash.ts'
import type { User } from '../accounts/user.ts'
import type { Store } from '../stores/contract.ts'

/** Passwords held for it at once. Beyond that nothing is done: the next sign-in of the user does it. */
const MAX_UNDER_WAY = 16

/** Replaces imported password hashes by argon2id, beside the sign-ins that show the passwords. */
export interface Rehashing {
  /**
   * Begins to replace the user's hash where it is not one of ours, and the whole password was held against it.
   * Nobody waits for it, and it may fail: the hash that is there stays good. It is replaced only while it is still there,
   * and no session ends by it.
   */
  consider(user: User, password: string): void
  /** Resolves when nothing is under way any more. */
  settled(): Promise<void>
}

export function createRehashing(store: Store, passwords: PasswordHashing): Rehashing {
  const underWay = new Map<string, Promise<unknown>>()
  return {
    consider(user, password) {
      const { passwordHash: stored } = user
      if (stored === undefined || !needsRehash(stored) || isPrefixAlone(stored, password)) return
      if (underWay.size >= MAX_UNDER_WAY || underWay.has(user.sub)) return
      const replaced = passwords
        .hash(password)
        .then((passwordHash) => store.users.replaceHash({ ...user, passwordHash: stored }, passwordHash))
        // The store is away, or too many sign-ins wait: the requests themselves say so.
        .catch(() => undefined)
        .finally(() => underWay.delete(user.sub))
      underWay.set(user.sub, replaced)
    },
    async settled() {
      await Promise.all(underWay.values())
    },
  }
}
