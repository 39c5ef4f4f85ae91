import { type User, userLocator, usernameKey } from '../../accounts/user.ts'
import type { UserStore } from '../contract.ts'
import type { Connection } from './connection.ts'
import { networksKey, nobodysKey, sessionsKey, USERNAMES_KEY, userKey } from './keys.ts'
import { fieldsOf, recordOf } from './record.ts'

const keyOf = (sub: string) => userKey(userLocator(sub))

export function redisUsers({ ask, durably }: Connection): UserStore {
  const find = async (key: string) => recordOf<User>(await ask((redis) => redis.hgetall(key)))

  return {
    async findByUsername(username) {
      const sub = await ask((redis) => redis.hget(USERNAMES_KEY, usernameKey(username)))
      return find(sub === null ? nobodysKey(username) : keyOf(sub))
    },

    async find(sub) {
      const user = await find(keyOf(sub))
      return user?.sub === sub ? user : undefined
    },

    // Name and record are in two slots of a cluster. The record comes first, under a sub that nobody can know yet; so a
    // name whose user has no record is that of a deleted user, and free.
    async create(user) {
      const name = usernameKey(user.username)
      for (let isWritten = false; ; ) {
        const owner = await ask((redis) => redis.hget(USERNAMES_KEY, name))
        if (owner !== null && (await find(keyOf(owner)))) {
          if (isWritten) await ask((redis) => redis.del(keyOf(user.sub)))
          return 'username_taken'
        }
        if (!isWritten) {
          const written = await durably((redis) => redis.recordCreate(keyOf(user.sub), ...fieldsOf(user)))
          if (written === 0) return 'sub_taken'
          isWritten = true
        }
        const taken = await durably((redis) =>
          owner === null
            ? redis.hsetnx(USERNAMES_KEY, name, user.sub)
            : redis.usernameReplace(USERNAMES_KEY, name, owner, user.sub),
        )
        if (taken === 1) return 'created'
      }
    },

    async change(sub, change, epoch) {
      const expected = epoch ?? ''
      return (await durably((redis) => redis.userChange(keyOf(sub), expected, ...fieldsOf(change)))) === 1
    },

    // The new name first, then the record, then the old name: left half done it has two names, and the next one mends it.
    async rename({ sub, username: before }, username) {
      const [from, to] = [usernameKey(before), usernameKey(username)]
      if (from !== to) {
        const taken = await durably((redis) => redis.hsetnx(USERNAMES_KEY, to, sub))
        const owner = taken === 1 ? sub : await ask((redis) => redis.hget(USERNAMES_KEY, to))
        if (owner !== sub) {
          // A name whose user has no record is that of a deleted user.
          if (owner === null || (await find(keyOf(owner)))) return 'username_taken'
          const replaced = await durably((redis) => redis.usernameReplace(USERNAMES_KEY, to, owner, sub))
          if (replaced === 0) return 'username_taken'
        }
      }
      const changed = await durably((redis) => redis.recordChange(keyOf(sub), ...fieldsOf({ username })))
      const obsolete = changed === 1 ? from : to
      if (from !== to) await ask((redis) => redis.usernameRelease(USERNAMES_KEY, obsolete, sub))
      return changed === 1 ? 'renamed' : 'gone'
    },

    // The record first: from then on every session of the user is refused, whatever becomes of the name.
    async delete(user) {
      const deleted = await durably((redis) => redis.del(keyOf(user.sub), sessionsKey(userLocator(user.sub))))
      await ask((redis) => redis.del(networksKey(user.username)))
      await ask((redis) => redis.usernameRelease(USERNAMES_KEY, usernameKey(user.username), user.sub))
      return deleted > 0
    },

    async *list() {
      let cursor = '0'
      do {
        const [next, flat] = await ask((redis) => redis.hscan(USERNAMES_KEY, cursor, 'COUNT', 500))
        cursor = next
        const subs = flat.filter((_, i) => i % 2 === 1)
        for (const user of await Promise.all(subs.map((sub) => find(keyOf(sub))))) if (user) yield user
      } while (cursor !== '0')
    },
  }
}
