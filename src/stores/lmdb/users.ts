import { type User, userLocator, usernameKey } from '../../accounts/user.ts'
import type { UserCreation, UserStore } from '../contract.ts'
import { allSound, damaged, isLocator, readSound, soundUser } from '../sound-records.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** Users created in one transaction. A running server’s own writes wait for it: some tens of milliseconds. */
const TRANSACTION = 1000

export function lmdbUsers({ users, usernames, networks, sessions }: Databases, durably: Transact): UserStore {
  /** Within a transaction. */
  function create(user: User): UserCreation {
    const locator = userLocator(user.sub)
    if (isTaken(usernameKey(user.username))) return 'username_taken'
    if (users.doesExist(locator)) return 'sub_taken'
    void usernames.put(usernameKey(user.username), locator)
    void users.put(locator, user)
    return 'created'
  }

  const read = (locator: string) =>
    readSound(
      `the user at ${locator}`,
      () => users.get(locator),
      (record) => soundUser(locator, record),
    )

  function locatorBehind(name: string): string | undefined {
    return readSound(
      'a user name',
      () => usernames.get(name),
      (locator) => {
        if (!isLocator(locator)) throw damaged('a user name', 'leads nowhere')
        return locator
      },
    )
  }

  /** A name whose user has no record is that of a deleted user, and free; one that is damaged may be anybody's. */
  function isTaken(name: string): boolean {
    try {
      const locator = locatorBehind(name)
      return locator !== undefined && users.doesExist(locator)
    } catch {
      return true
    }
  }

  /** Goes by the records where the name itself is damaged. */
  function ownerOf(name: string): string | undefined {
    try {
      return locatorBehind(name)
    } catch {
      for (const locator of users.getKeys()) if (isNamed(locator, name)) return locator
      return undefined
    }
  }

  function isNamed(locator: string, name: string): boolean {
    try {
      return usernameKey(read(locator)?.username ?? '') === name
    } catch {
      return false
    }
  }

  /** Its name by its record, which may be damaged. */
  function ownNameOf(locator: string): string | undefined {
    try {
      return read(locator)?.username
    } catch {
      return undefined
    }
  }

  return {
    async findByUsername(username) {
      usernames.resetReadTxn()
      const locator = locatorBehind(usernameKey(username))
      return locator === undefined ? undefined : read(locator)
    },
    async find(sub) {
      users.resetReadTxn()
      const user = read(userLocator(sub))
      return user?.sub === sub ? user : undefined
    },
    create: (user) => durably(() => create(user)),
    async createMany(all) {
      const answers: UserCreation[] = []
      for (let at = 0; at < all.length; at += TRANSACTION) {
        const some = all.slice(at, at + TRANSACTION)
        answers.push(...(await durably(() => some.map(create))))
      }
      return answers
    },
    replaceHash: ({ sub, passwordHash, epoch }, next) =>
      durably(() => {
        const locator = userLocator(sub)
        const user = users.get(locator)
        if (!user || user.passwordHash !== passwordHash || user.epoch !== epoch) return false
        void users.put(locator, { ...user, passwordHash: next })
        return true
      }),
    change: (sub, change, epoch) =>
      durably(() => {
        const locator = userLocator(sub)
        const user = users.get(locator)
        if (!user || (epoch !== undefined && user.epoch !== epoch)) return false
        void users.put(locator, { ...user, ...change })
        return true
      }),
    rename: ({ sub, username: before }, username) =>
      durably(() => {
        const locator = userLocator(sub)
        const user = users.get(locator)
        if (!user) return 'gone'
        const owner = usernames.get(usernameKey(username))
        if (owner !== locator && isTaken(usernameKey(username))) return 'username_taken'
        for (const name of [before, user.username].map(usernameKey)) {
          if (name === usernameKey(username) || usernames.get(name) !== locator) continue
          void usernames.remove(name)
          void networks.remove(name)
        }
        void usernames.put(usernameKey(username), locator)
        void users.put(locator, { ...user, username })
        return 'renamed'
      }),
    delete: (user) =>
      durably(() => {
        const locator = userLocator(user.sub)
        if (!users.doesExist(locator)) return false
        // The user may have another name by now, and another user this one.
        for (const name of [user.username, ownNameOf(locator) ?? user.username].map(usernameKey)) {
          if (ownerOf(name) !== locator) continue
          void usernames.remove(name)
          void networks.remove(name)
        }
        void users.remove(locator)
        void sessions.remove(locator)
        return true
      }),
    deleteUnread: (username) =>
      durably(() => {
        const name = usernameKey(username)
        const locator = ownerOf(name)
        if (locator === undefined || !users.doesExist(locator)) return false
        void users.remove(locator)
        void sessions.remove(locator)
        void usernames.remove(name)
        void networks.remove(name)
        return true
      }),
    async *list() {
      yield* allSound(readsOfAll())
    },
  }

  function* readsOfAll() {
    for (const key of users.getKeys()) yield [async () => read(key)]
  }
}
