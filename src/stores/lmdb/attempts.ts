import { type AttemptStore, BATCHES, type Charge, type Counting, type Refusal } from '../contract.ts'
import { damaged, readSound } from '../sound-records.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** The counters of one subject. Times are milliseconds since 1970. */
export interface AttemptRecord {
  /** The end of the window. */
  readonly expiresAt: number
  readonly counters: Readonly<Record<string, Count>>
}

interface Count {
  /** Those that failed. */
  readonly charged: number
  /** Those of which it is not known yet. */
  readonly pending: readonly Pending[]
}

/** Those of one batch. */
interface Pending {
  readonly count: number
  /** When they are forgotten. */
  readonly until: number
}

const EMPTY: Count = { charged: 0, pending: BATCHES.map(() => ({ count: 0, until: 0 })) }

const failed = ({ charged }: Count) => charged

/** What a budget has no room for any more. */
const held = ({ charged, pending }: Count) => pending.reduce((sum, { count }) => sum + count, charged)

/** @throws {UnavailableError} for a damaged record: what may have been charged there is not to be had again. */
function soundRecord(subject: string, value: unknown): AttemptRecord {
  const { expiresAt, counters } = (value ?? {}) as Partial<AttemptRecord>
  const isCount = (one: Partial<Count> | null) =>
    Number.isSafeInteger(one?.charged) &&
    Array.isArray(one?.pending) &&
    one.pending.length === BATCHES.length &&
    one.pending.every((batch) => Number.isSafeInteger(batch?.count) && Number.isFinite(batch?.until))
  const isSound =
    Number.isFinite(expiresAt) &&
    typeof counters === 'object' &&
    counters !== null &&
    Object.values(counters).every(isCount)
  if (!isSound) throw damaged(`attempts of ${subject}`, 'cannot be read')
  return value as AttemptRecord
}

export function lmdbAttempts({ attempts }: Databases, committed: Transact): AttemptStore {
  function current(subject: string, now: number): AttemptRecord | undefined {
    const record = readSound(
      `attempts of ${subject}`,
      () => attempts.get(subject),
      (record) => soundRecord(subject, record),
    )
    return record && now < record.expiresAt ? record : undefined
  }

  /** What is damaged counts against the subject as well: every attempt is refused for it. */
  function isCounted(subject: string): boolean {
    try {
      return current(subject, Date.now()) !== undefined
    } catch {
      return true
    }
  }

  function countOf({ subject, counter }: Charge, now: number): Count {
    const count = current(subject, now)?.counters[counter] ?? EMPTY
    return { ...count, pending: count.pending.map((one) => (now < one.until ? one : { ...one, count: 0 })) }
  }

  function refusalOf(charges: readonly Charge[], now: number): Refusal | undefined {
    const counts = charges.map((charge) => countOf(charge, now))
    /** The first that has no room for one more, where that is counted of it, and of those who may be newcomers. */
    const refused = (state: Refusal['state'], counted: (count: Count) => number): Refusal | undefined => {
      const at = charges.findIndex(({ limit, newcomers }, at) => {
        const isNewcomer = newcomers !== undefined && counted(counts[newcomers.emptyAt]!) === 0
        return counted(counts[at]!) >= (isNewcomer ? newcomers.limit : limit)
      })
      if (at < 0) return undefined
      return { at, state, retryAfterMs: (current(charges[at]!.subject, now)?.expiresAt ?? now) - now }
    }
    // A newcomer whose first attempt is under way may yet be one: that is waited for, and not called spent.
    return refused('spent', failed) ?? refused('pending', held)
  }

  function put(charge: Charge, count: Count, record: Omit<AttemptRecord, 'counters'>, now: number): void {
    const { [charge.counter]: _, ...others } = current(charge.subject, now)?.counters ?? {}
    const counters = held(count) > 0 ? { ...others, [charge.counter]: count } : others
    if (Object.keys(counters).length === 0) void attempts.remove(charge.subject)
    else void attempts.put(charge.subject, { ...record, counters })
  }

  /** What would end later than a window from now was begun before the clock was set back. */
  const endOf = (record: AttemptRecord | undefined, now: number, windowMs: number) =>
    Math.min(record?.expiresAt ?? Number.POSITIVE_INFINITY, now + windowMs)

  async function reserve(
    charges: readonly Charge[],
    { windowMs, pendingMs, batch = 0 }: Counting,
  ): Promise<Refusal | undefined> {
    // Nobody needs a transaction to be refused.
    attempts.resetReadTxn()
    const early = refusalOf(charges, Date.now())
    if (early && early.retryAfterMs <= windowMs) return early
    return committed(() => {
      const now = Date.now()
      const refusal = refusalOf(charges, now)
      if (refusal && refusal.retryAfterMs > windowMs) {
        const { subject } = charges[refusal.at]!
        // Kept, so that the window ends: for whoever asks next it would begin anew.
        void attempts.put(subject, { ...current(subject, now)!, expiresAt: now + windowMs })
        return { ...refusal, retryAfterMs: windowMs }
      }
      if (refusal) return refusal
      for (const charge of charges) {
        const { charged, pending } = countOf(charge, now)
        const expiresAt = endOf(current(charge.subject, now), now, windowMs)
        const taken =
          pendingMs === 0
            ? { charged: charged + 1, pending }
            : {
                charged,
                pending: pending.map((one, at) =>
                  at === batch ? { count: one.count + 1, until: now + pendingMs } : one,
                ),
              }
        put(charge, taken, { expiresAt }, now)
      }
      return undefined
    })
  }

  return {
    reserve,

    settle: (charges, outcome, { windowMs, batch = 0 }) =>
      committed(() => {
        const now = Date.now()
        for (const charge of charges) {
          const record = current(charge.subject, now)
          const { charged, pending } = record?.counters[charge.counter] ?? EMPTY
          if (!record && outcome === 'given_back') continue
          const left = {
            charged: charged + (outcome === 'failed' ? 1 : 0),
            pending: pending.map((one, at) =>
              at === batch ? { ...one, count: Math.max(0, one.count - 1) } : one,
            ),
          }
          put(charge, left, { expiresAt: endOf(record, now, windowMs) }, now)
        }
      }),

    count: (charge, windowMs) => reserve([charge], { windowMs, pendingMs: 0 }),

    forget: (subject) =>
      committed(() => {
        const wasThere = isCounted(subject)
        void attempts.remove(subject)
        return wasThere
      }),
  }
}
