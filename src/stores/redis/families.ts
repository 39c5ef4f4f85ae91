import { UnavailableError } from '../../oauth/errors.ts'
import { locatorOf } from '../../tokens/refresh-token.ts'
import type { FamilyStore } from '../contract.ts'
import { allSound, gather } from '../sound-records.ts'
import type { Connection } from './connection.ts'
import { countExpiring } from './count-expiring.ts'
import {
  base36,
  beginningOf,
  clientLineOf,
  isApplied,
  listedIn,
  mayBeOf,
  recordOfFamily,
  senderLinesOf,
  viewOf,
} from './family-record.ts'
import { inBatches } from './in-batches.ts'
import {
  briefSessionsKey,
  FAMILY_PATTERN,
  familyKey,
  idOfKey,
  indexMember,
  sessionsKey,
  userKey,
} from './keys.ts'
import { typed } from './record.ts'

/** Sessions looked at for one listing; the index knows when each ends at the latest, not when it was last used. */
const MAX_LOOKED_AT = 10_000

/** Each further round means that others began and ended sessions of the user in between. */
const MAX_ROUNDS = 50

/** Of brief families there may be any number, so they are not where others are counted. */
const indexKey = ({ isBrief }: { readonly isBrief?: boolean }, locator: string) =>
  isBrief ? briefSessionsKey(locator) : sessionsKey(locator)

export function redisFamilies({ ask, durably, scan }: Connection): FamilyStore {
  return {
    async create(begun) {
      const locator = locatorOf(begun.id)
      const create = (others: readonly string[]) =>
        typed(
          `the user at ${locator}`,
          durably((redis) =>
            redis.familyCreate(
              3 + others.length,
              familyKey(begun.id),
              userKey(locator),
              indexKey(begun, locator),
              ...others.map((member) => familyKey(locator + member)),
              begun.userEpoch,
              begun.idleMs,
              begun.maxMs,
              indexMember(begun.id),
              begun.isBrief ? 0 : (begun.maxSessions ?? 0),
              begun.isBrief ? 1 : 0,
              ...beginningOf(begun),
              ...others,
            ),
          ),
        )
      // A script must be told every key that it touches, and only the index knows the user's other sessions.
      let answer = await create([])
      for (let round = 0; answer?.[0] === 0; round += 1) {
        if (round === MAX_ROUNDS) throw new UnavailableError('The user signs in too often at once')
        const [, ...others] = answer
        answer = await create(others)
      }
      if (answer === null) return undefined
      const [createdAt, ...ended] = answer
      return {
        createdAt,
        endsAt: createdAt + begun.maxMs,
        ended: ended.map((member) => locator + member),
      }
    },

    async advance({ id, from, to, clientId, clientEpoch, idleMs, sender }) {
      const locator = locatorOf(id)
      const turn = (before: number, after: number) =>
        ask((redis) =>
          redis.familyAdvance(
            familyKey(id),
            userKey(locator),
            before,
            after,
            clientLineOf(clientId, clientEpoch),
            idleMs,
            senderLinesOf(sender),
          ),
        )
      const reply = await typed(`session ${id}`, turn(from, to))
      try {
        return viewOf(id, reply)
      } catch (damaged) {
        // The script looks at less than the reader. Nobody has seen the successor; were it left, the token that the client
        // holds would be an old one by the time that the record is mended.
        if (isApplied(reply)) await turn(to, from)
        throw damaged
      }
    },

    look,

    async noteReplay(id, lockstep) {
      await typed(
        `session ${id}`,
        ask((redis) => redis.familyNoteReplay(familyKey(id), lockstep.generation, lockstep.run)),
      )
    },

    revoke: (id, reason) => durably((redis) => redis.familyRevoke(familyKey(id), reason)),

    async adopt(family) {
      const locator = locatorOf(family.id)
      const adopted = await typed(
        `session ${family.id}`,
        durably((redis) =>
          redis.familyAdopt(
            familyKey(family.id),
            userKey(locator),
            indexKey(family, locator),
            family.generation,
            Math.round(family.expiresAt),
            indexMember(family.id),
            family.revoked ? 1 : 0,
            family.endsAt,
            family.isBrief ? '' : base36(family.endsAt),
            recordOfFamily(family),
          ),
        ),
      )
      return adopted === 1
    },

    count: () => ask(countExpiring),

    async *listOfClient(clientId) {
      for await (const { family, ...others } of allSound(readsOfClient(clientId)))
        if (family) yield { ...others, family }
    },

    async listOfUser(locator, limit, onDamage) {
      const listed = await gather(allSound([readsOfIndex(locator)]))
      const ids = listed.found.flat().map((member) => locator + member)
      const looks = ids.map((id) => async () => (await look(id)).family)
      const looked = await gather(allSound(inBatches(looks)))
      const fault = listed.fault ?? looked.fault
      if (fault && !onDamage) throw fault
      if (fault) onDamage?.(fault)
      return looked.found.sort((a, b) => b.rotatedAt - a.rotatedAt).slice(0, limit)
    },
  }

  async function look(id: string) {
    const reply = ask((redis) => redis.familyLook(familyKey(id), userKey(locatorOf(id))))
    return viewOf(id, await typed(`session ${id}`, reply))
  }

  /** What reads the user's own record, and both lists. */
  function readsOfIndex(locator: string) {
    const first = () => ask(async (redis) => listedIn(await redis.hget(userKey(locator), 'family')))
    const listIn = (key: string) => ask((redis) => redis.zrevrange(key, 0, MAX_LOOKED_AT - 1))
    return [
      () => typed(`the user at ${locator}`, first()),
      ...[sessionsKey, briefSessionsKey].map((keyOf) => () => {
        const key = keyOf(locator)
        return typed(`the list ${key}`, listIn(key))
      }),
    ]
  }

  async function* readsOfClient(clientId: string) {
    for await (const keys of scan(FAMILY_PATTERN))
      yield keys.map((key) => async () => {
        const id = idOfKey(key)
        const record = await typed(
          `session ${id}`,
          ask((redis) => redis.get(key)),
        )
        return mayBeOf(record, clientId) ? look(id) : undefined
      })
  }
}
