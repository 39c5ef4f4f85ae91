import { type User, userLocator, usernameKey } from '../../accounts/user.ts'
import type { UserCreation, UserStore } from '../contract.ts'
import { allSound, soundUser } from '../sound-records.ts'
import type { Connection, RedisClient } from './connection.ts'
import {
  briefSessionsKey,
  locatorOfUserKey,
  networksKey,
  nobodysKey,
  sessionsKey,
  USERNAMES_KEY,
  userKey,
} from './keys.ts'
import { fieldsOf, recordOf, typed } from './record.ts'

const keyOf = (sub: string) => userKey(userLocator(sub))

/** Users whose records go out together, and how often at once: all of that is answered well within the time for an answer. */
const CREATED_AT_ONCE = 100
const LANES = 4

export function redisUsers({ ask, durably, durablyMany }: Connection): UserStore {
  async function find(key: string): Promise<User | undefined> {
    const locator = locatorOfUserKey(key)
    const of = `the user at ${locator}`
    // The scripts keep a session of the user there.
    const { family: _, ...fields } = await typed(
      of,
      ask((redis) => redis.hgetall(key)),
    )
    const record = recordOf(of, fields)
    return record && soundUser(locator, record)
  }

  const writeOf = (user: User) => (redis: RedisClient) =>
    redis.recordCreate(keyOf(user.sub), ...fieldsOf(user))

  /**
   * Name and record are in two slots of a cluster. The record comes first, when no session can be of it; so a name
   * whose user has no record is that of a deleted user, and free, and a record that its name does not lead to is of a
   * creation that broke off.
   */
  async function create(user: User, wasWritten: boolean): Promise<UserCreation> {
    const name = usernameKey(user.username)
    for (let isWritten = wasWritten; ; ) {
      const owner = await ask((redis) => redis.hget(USERNAMES_KEY, name))
      // The same user, created a second time at the same moment: the record is of one of the two.
      if (isWritten && owner === user.sub) return 'created'
      if (owner !== null && (await find(keyOf(owner)))) {
        if (isWritten) await ask((redis) => redis.del(keyOf(user.sub)))
        return 'username_taken'
      }
      if (!isWritten) {
        isWritten = (await durably(writeOf(user))) === 1 || (await takeUp(user, name))
        if (!isWritten) return 'sub_taken'
      }
      const taken = await durably((redis) =>
        owner === null
          ? redis.hsetnx(USERNAMES_KEY, name, user.sub)
          : redis.usernameReplace(USERNAMES_KEY, name, owner, user.sub),
      )
      if (taken === 1) return 'created'
    }
  }

  /**
   * Goes on with a creation that broke off before the name was taken. @returns false when it is no such thing.
   *
   * It may as well be under way, with a sign-in going by its epoch already: that one is kept.
   */
  async function takeUp(user: User, name: string): Promise<boolean> {
    const found = await find(keyOf(user.sub))
    if (found?.sub !== user.sub || usernameKey(found.username) !== name) return false
    // Named, or the first creation's would stay where this one has none.
    const { passwordHash } = user
    await durably((redis) =>
      redis.recordChange(keyOf(user.sub), ...fieldsOf({ ...user, passwordHash, epoch: found.epoch })),
    )
    return true
  }

  /** Sets a name of the user free. Its networks go before, and never those of the next who has it. */
  async function release(username: string, sub: string): Promise<void> {
    if ((await ask((redis) => redis.hget(USERNAMES_KEY, usernameKey(username)))) !== sub) return
    await ask((redis) => redis.del(networksKey(username)))
    await ask((redis) => redis.usernameRelease(USERNAMES_KEY, usernameKey(username), sub))
  }

  /** Creates users none of whom shares a name or a `sub` with another. */
  async function createAtOnce(users: readonly User[]): Promise<UserCreation[]> {
    const names = users.map(({ username }) => usernameKey(username))
    const owners = await ask((redis) => redis.hmget(USERNAMES_KEY, ...names))
    const free = users.flatMap((user, i) => (owners[i] === null ? [{ user, name: names[i]! }] : []))
    const created = await durablyMany(free.map(({ user }) => writeOf(user)))
    const written = free.filter((_, i) => created[i] === 1)
    const taken =
      written.length === 0
        ? []
        : await durably((redis) =>
            redis.usernamesTake(USERNAMES_KEY, ...written.flatMap(({ user, name }) => [name, user.sub])),
          )
    const isWritten = new Map(written.map(({ user }, i) => [user, taken[i] === 1]))
    // What did not go smoothly goes the long way.
    return Promise.all(
      users.map((user) => (isWritten.get(user) ? 'created' : create(user, isWritten.has(user)))),
    )
  }

  return {
    async findByUsername(username) {
      const sub = await ask((redis) => redis.hget(USERNAMES_KEY, usernameKey(username)))
      return find(sub === null ? nobodysKey(username) : keyOf(sub))
    },

    async find(sub) {
      const user = await find(keyOf(sub))
      return user?.sub === sub ? user : undefined
    },

    create: (user) => create(user, false),

    async createMany(users) {
      const isRepeated = repeatedIn(users)
      const first = users.filter((_, i) => !isRepeated[i])
      const answers: UserCreation[] = []
      for (let at = 0; at < first.length; at += CREATED_AT_ONCE * LANES) {
        const lanes = Array.from({ length: LANES }, (_, lane) => at + lane * CREATED_AT_ONCE)
          .map((from) => first.slice(from, from + CREATED_AT_ONCE))
          .filter((some) => some.length > 0)
        answers.push(...(await Promise.all(lanes.map(createAtOnce))).flat())
      }
      // In their order again, and each of the others after the one that it repeats.
      const all: UserCreation[] = []
      for (const [i, user] of users.entries())
        all.push(isRepeated[i] ? await create(user, false) : answers.shift()!)
      return all
    },

    async replaceHash(user, passwordHash) {
      const replaced = await durably((redis) =>
        redis.userReplaceHash(
          keyOf(user.sub),
          JSON.stringify(user.passwordHash),
          JSON.stringify(user.epoch),
          JSON.stringify(passwordHash),
        ),
      )
      return replaced === 1
    },

    async change(sub, change, epoch) {
      const expected = epoch ?? ''
      return (await durably((redis) => redis.userChange(keyOf(sub), expected, ...fieldsOf(change)))) === 1
    },

    // The new name first, then the record, then the old name: left half done it has two names, and the next one mends it.
    async rename({ sub, username: before }, username) {
      const own = (await find(keyOf(sub)))?.username ?? before
      const to = usernameKey(username)
      const taken = await durably((redis) => redis.hsetnx(USERNAMES_KEY, to, sub))
      const owner = taken === 1 ? sub : await ask((redis) => redis.hget(USERNAMES_KEY, to))
      if (owner !== sub) {
        // A name whose user has no record is that of a deleted user.
        if (owner === null || (await find(keyOf(owner)))) return 'username_taken'
        const replaced = await durably((redis) => redis.usernameReplace(USERNAMES_KEY, to, owner, sub))
        if (replaced === 0) return 'username_taken'
      }
      const changed = await durably((redis) => redis.recordChange(keyOf(sub), ...fieldsOf({ username })))
      const obsolete = changed === 1 ? [before, own].filter((name) => usernameKey(name) !== to) : [username]
      for (const name of obsolete) await release(name, sub)
      return changed === 1 ? 'renamed' : 'gone'
    },

    // The record first: from then on every session of the user is refused, whatever becomes of the name.
    delete: remove,

    async deleteUnread(username) {
      const sub = await ask((redis) => redis.hget(USERNAMES_KEY, usernameKey(username)))
      return sub !== null && remove({ sub, username })
    },

    // No plain function: whoever stands around a store's verbs must see that this one answers bit by bit.
    async *list() {
      yield* allSound(readsOfAll())
    },
  }

  async function remove({ sub, username }: Pick<User, 'sub' | 'username'>): Promise<boolean> {
    const locator = userLocator(sub)
    const deleted = await durably((redis) =>
      redis.del(userKey(locator), sessionsKey(locator), briefSessionsKey(locator)),
    )
    await release(username, sub)
    return deleted > 0
  }

  async function* readsOfAll() {
    let cursor = '0'
    do {
      const [next, flat] = await ask((redis) => redis.hscan(USERNAMES_KEY, cursor, 'COUNT', 500))
      cursor = next
      yield flat.filter((_, i) => i % 2 === 1).map((sub) => () => find(keyOf(sub)))
    } while (cursor !== '0')
  }
}

/** Which of them share a name or a `sub` with one before them. */
function repeatedIn(users: readonly User[]): boolean[] {
  const seen = new Set<string>()
  return users.map((user) => {
    const keys = [`name ${usernameKey(user.username)}`, `sub ${user.sub}`]
    const isRepeated = keys.some((key) => seen.has(key))
    for (const key of keys) seen.add(key)
    return isRepeated
  })
}
