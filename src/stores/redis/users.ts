import { type User, userLocator, usernameKey } from '../../accounts/user.ts'
import type { UserStore } from '../contract.ts'
import type { Connection } from './connection.ts'
import { nobodysKey, USERNAMES_KEY, userKey } from './keys.ts'
import { fieldsOf, recordOf } from './record.ts'

const keyOf = (sub: string) => userKey(userLocator(sub))

export function redisUsers({ ask, durably }: Connection): UserStore {
  const find = async (key: string) => recordOf<User>(await ask((redis) => redis.hgetall(key)))

  return {
    async findByUsername(username) {
      const sub = await ask((redis) => redis.hget(USERNAMES_KEY, usernameKey(username)))
      return find(sub === null ? nobodysKey(username) : keyOf(sub))
    },

    // Name and record are in two slots of a cluster. The name comes first: a record without a name would be a user who
    // can never be found, while a name whose record never came is taken over here.
    async create(user) {
      const name = usernameKey(user.username)
      const isNew = await ask((redis) => redis.hsetnx(USERNAMES_KEY, name, user.sub))
      if (isNew === 0) {
        const owner = await ask((redis) => redis.hget(USERNAMES_KEY, name))
        if (owner !== null && (await find(keyOf(owner)))) return 'username_taken'
      }
      const created = await durably((redis) => redis.recordCreate(keyOf(user.sub), ...fieldsOf(user)))
      if (created === 1) {
        if (isNew === 0) await durably((redis) => redis.hset(USERNAMES_KEY, name, user.sub))
        return 'created'
      }
      if (isNew === 1) await ask((redis) => redis.hdel(USERNAMES_KEY, name))
      return 'sub_taken'
    },

    async change(sub, change) {
      return (await durably((redis) => redis.recordChange(keyOf(sub), ...fieldsOf(change)))) === 1
    },

    // The record first: from then on every session of the user is refused, whatever becomes of the name.
    async delete(user) {
      const deleted = await durably((redis) => redis.del(keyOf(user.sub)))
      await ask((redis) => redis.hdel(USERNAMES_KEY, usernameKey(user.username)))
      return deleted === 1
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
