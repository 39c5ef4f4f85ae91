import { locatorOf } from '../../tokens/refresh-token.ts'
import type { FamilyStore } from '../contract.ts'
import type { Connection } from './connection.ts'
import { countExpiring } from './count-expiring.ts'
import { fieldsOf, fieldsOfHeld, viewOf } from './family-record.ts'
import { familyKey, indexMember, sessionsKey, userKey } from './keys.ts'

/** Sessions looked at for one listing; the index knows when each expires, not when it was last used. */
const MAX_LOOKED_AT = 10_000

export function redisFamilies({ ask, durably }: Connection): FamilyStore {
  return {
    async create(begun) {
      const locator = locatorOf(begun.id)
      const createdAt = await durably((redis) =>
        redis.familyCreate(
          familyKey(begun.id),
          userKey(locator),
          sessionsKey(locator),
          begun.userEpoch,
          begun.idleMs,
          begun.maxMs,
          indexMember(begun.id),
          ...fieldsOf(begun),
        ),
      )
      return createdAt === null ? undefined : { createdAt, endsAt: createdAt + begun.maxMs }
    },

    async advance({ id, from, to, clientId, clientEpoch, idleMs, sender }) {
      const locator = locatorOf(id)
      const reply = await ask((redis) =>
        redis.familyAdvance(
          familyKey(id),
          userKey(locator),
          sessionsKey(locator),
          from,
          to,
          clientId,
          clientEpoch,
          idleMs,
          indexMember(id),
          sender.network,
          sender.agent,
        ),
      )
      return viewOf(id, reply)
    },

    async look(id) {
      return viewOf(id, await ask((redis) => redis.familyLook(familyKey(id), userKey(locatorOf(id)))))
    },

    async noteReplay(id, lockstep) {
      await ask((redis) => redis.familyNoteReplay(familyKey(id), lockstep.generation, lockstep.run))
    },

    revoke: (id, reason) => durably((redis) => redis.familyRevoke(familyKey(id), reason)),

    async adopt(family) {
      const locator = locatorOf(family.id)
      const adopted = await durably((redis) =>
        redis.familyAdopt(
          familyKey(family.id),
          sessionsKey(locator),
          family.generation,
          Math.round(family.expiresAt),
          indexMember(family.id),
          ...fieldsOfHeld(family),
        ),
      )
      return adopted === 1
    },

    count: () => ask(countExpiring),

    async listOfUser(locator, limit) {
      const members = await ask((redis) => redis.zrevrange(sessionsKey(locator), 0, MAX_LOOKED_AT - 1))
      const ids = members.map((member) => locator + member)
      const found = await Promise.all(
        ids.map(
          async (id) =>
            viewOf(id, await ask((redis) => redis.familyLook(familyKey(id), userKey(locator)))).family,
        ),
      )
      return found
        .filter((family) => family !== undefined)
        .sort((a, b) => b.rotatedAt - a.rotatedAt)
        .slice(0, limit)
    },
  }
}
