import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Family, NO_LOCKSTEP } from '../../tokens/family.ts'
import { locatorOf } from '../../tokens/refresh-token.ts'
import type { FamilyStore, FamilyView, NewFamily } from '../contract.ts'
import { allSound, gather, readSound, soundFamily, soundUser } from '../sound-records.ts'
import type { Databases } from './store.ts'
import type { Writes } from './writes.ts'

/** Families that a walk reads before it lets others have their turn. */
const WALK_BATCH = 1000

export function lmdbFamilies({ families, users, sessions }: Databases, writes: Writes): FamilyStore {
  const { durably, committed } = writes
  const read = (id: string) =>
    readSound(
      `session ${id}`,
      () => families.get(id),
      (record) => soundFamily(id, record),
    )

  /** What cannot be read cannot be refreshed, and so is not counted either. */
  function readable(id: string): Family | undefined {
    try {
      return read(id)
    } catch {
      return undefined
    }
  }

  /** The record, unless its time is over: here it is the reader, not the store, who knows that. */
  function present(id: string): Pick<FamilyView, 'now' | 'family'> {
    const now = Date.now()
    const family = read(id)
    return { now, family: family && now < family.expiresAt ? family : undefined }
  }

  function view(id: string): FamilyView {
    const locator = locatorOf(id)
    return {
      ...present(id),
      user: readSound(
        `the user at ${locator}`,
        () => users.get(locator),
        (record) => soundUser(locator, record),
      ),
    }
  }

  // Ids begin with the locator, and `~` sorts after every base64url character.
  const rangeOf = (locator: string) => ({ start: locator, end: `${locator}~` })

  function* readsOfUser(locator: string) {
    for (const id of families.getKeys(rangeOf(locator))) yield [async () => read(id)]
  }

  async function* readsOfClient(clientId: string) {
    let walked = 0
    for (const id of families.getKeys()) {
      walked += 1
      // The others want a turn, too.
      if (walked % WALK_BATCH === 0) await nextTurn()
      if (mayBeOf(id, clientId)) yield [async () => viewOfFamily(id)]
    }
  }

  /** What cannot be read may be anybody's, and is told of by whoever reads it next. */
  function mayBeOf(id: string, clientId: string): boolean {
    try {
      return read(id)?.clientId === clientId
    } catch {
      return true
    }
  }

  function viewOfFamily(id: string) {
    const { family, ...others } = view(id)
    return family && { ...others, family }
  }

  /** The sessions that are counted, damaged ones too. An index that is damaged is made anew. */
  function countedOf(locator: string): readonly string[] {
    try {
      const ids: unknown = sessions.get(locator)
      const isItsOwn = (id: unknown) => typeof id === 'string' && id.startsWith(locator)
      if (Array.isArray(ids) && ids.every(isItsOwn)) return ids
    } catch {}
    return [...families.getKeys(rangeOf(locator))]
  }

  /** Makes room for one more session. Who was counted before is listed, so that nothing that has ended is read again. */
  function endBeyond(begun: NewFamily, now: number): string[] {
    const { id, userEpoch, clientId, clientEpoch, maxSessions = 0 } = begun
    if (begun.isBrief) return []
    const locator = locatorOf(id)
    if (maxSessions === 0) {
      // What is not kept up would be wrong when it is needed again.
      if (sessions.doesExist(locator)) void sessions.remove(locator)
      return []
    }
    // Of this client the present epoch is known: what has another was ended with all sessions of the client.
    const isOver = (of: Family) =>
      of.revoked !== undefined ||
      now >= of.expiresAt ||
      of.userEpoch !== userEpoch ||
      (of.clientId === clientId && of.clientEpoch !== clientEpoch)
    const living = countedOf(locator)
      .map(readable)
      .filter((family) => family !== undefined)
      .filter((family) => !isOver(family) && !family.isBrief)
      .sort((a, b) => b.rotatedAt - a.rotatedAt)
    const ended = living.splice(maxSessions - 1)
    for (const family of ended) {
      void families.put(family.id, { ...family, revoked: { reason: 'cap', at: now } })
    }
    void sessions.put(locator, [...living.map((family) => family.id), id])
    return ended.map((family) => family.id).reverse()
  }

  return {
    create: (begun) =>
      durably(() => {
        const { now, user } = view(begun.id)
        if (user?.epoch !== begun.userEpoch) return undefined
        const endsAt = now + begun.maxMs
        const ended = endBeyond(begun, now)
        void families.put(begun.id, {
          id: begun.id,
          generation: 0,
          rotatedAt: now,
          clientId: begun.clientId,
          scope: begun.scope,
          audience: begun.audience,
          createdAt: now,
          endsAt,
          expiresAt: Math.min(now + begun.idleMs, endsAt),
          userEpoch: begun.userEpoch,
          clientEpoch: begun.clientEpoch,
          ...(begun.isBrief && { isBrief: true }),
          lastSender: begun.sender,
          replays: 0,
          lockstep: NO_LOCKSTEP,
        })
        return { createdAt: now, endsAt, ended }
      }),

    advance: (asked, onDecided) =>
      // The ratchet heals a rotation that is lost with the power, so nobody waits for it to be flushed.
      committed(() => {
        const before = view(asked.id)
        const { now, family, user } = before
        const applied =
          family !== undefined &&
          family.revoked === undefined &&
          family.generation === asked.from &&
          family.clientId === asked.clientId &&
          family.clientEpoch === asked.clientEpoch &&
          family.userEpoch === user?.epoch
        if (applied) {
          void families.put(asked.id, {
            ...family,
            generation: asked.to,
            // Also where the clock was set back: no time is before the sign-in.
            rotatedAt: Math.max(now, family.createdAt),
            expiresAt: Math.min(now + asked.idleMs, family.endsAt),
            lastSender: asked.sender,
          })
        }
        const answer = { ...before, applied }
        onDecided?.(answer)
        return answer
      }),

    async look(id) {
      // A read sees what was there when the event loop began this turn, unless it is told to look again.
      families.resetReadTxn()
      return view(id)
    },

    noteReplay: (id, lockstep) =>
      committed(() => {
        const { family } = present(id)
        if (!family) return
        // Of repeats at once, the one of the generation before may come last.
        const isNewer = lockstep.generation > family.lockstep.generation
        const replays = family.replays + 1
        void families.put(id, { ...family, replays, lockstep: isNewer ? lockstep : family.lockstep })
      }),

    revoke: (id, reason) =>
      durably(() => {
        // Whatever has become of the user.
        const { now, family } = present(id)
        if (!family) return 'gone'
        if (family.revoked) return 'already_revoked'
        void families.put(id, { ...family, revoked: { reason, at: now } })
        return 'revoked'
      }),

    adopt: (family) =>
      durably(() => {
        const { now, family: here } = present(family.id)
        const isFurther =
          here &&
          (here.revoked !== undefined ||
            here.generation > family.generation ||
            (here.generation === family.generation && !family.revoked))
        if (isFurther || now >= family.expiresAt) return false
        void families.put(family.id, family)
        // Who counts next reads them all.
        void sessions.remove(locatorOf(family.id))
        return true
      }),

    async count() {
      families.resetReadTxn()
      return families.count()
    },

    async *listOfClient(clientId) {
      families.resetReadTxn()
      yield* allSound(readsOfClient(clientId))
    },

    async listOfUser(locator, limit, onDamage) {
      families.resetReadTxn()
      const now = Date.now()
      const { found, fault } = await gather(allSound(readsOfUser(locator)))
      if (fault && !onDamage) throw fault
      if (fault) onDamage?.(fault)
      return found
        .filter(({ expiresAt }) => now < expiresAt)
        .sort((a, b) => b.rotatedAt - a.rotatedAt)
        .slice(0, limit)
    },
  }
}
