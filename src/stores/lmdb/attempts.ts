import type { AttemptStore, Charge, Counting, Refusal } from '../contract.ts'
import type { Databases, Durably } from './store.ts'

/** The counters of one subject. Times are milliseconds since 1970. */
export interface AttemptRecord {
  /** The end of the window. */
  readonly expiresAt: number
  /** When the last of the pending counts as failed. */
  readonly pendingUntil: number
  readonly counters: Readonly<Record<string, Count>>
}

interface Count {
  /** Failed or pending. */
  readonly charged: number
  readonly pending: number
}

const EMPTY: Count = { charged: 0, pending: 0 }

export function lmdbAttempts({ attempts }: Databases, durably: Durably): AttemptStore {
  function current(subject: string, now: number): AttemptRecord | undefined {
    const record = attempts.get(subject)
    return record && now < record.expiresAt ? record : undefined
  }

  function countOf({ subject, counter }: Charge, now: number): Count {
    const record = current(subject, now)
    const count = record?.counters[counter] ?? EMPTY
    return record && now >= record.pendingUntil ? { ...count, pending: 0 } : count
  }

  function refusalOf(charges: readonly Charge[], now: number): Refusal | undefined {
    const counts = charges.map((charge) => countOf(charge, now))
    const refusals = charges.flatMap(({ subject, limit, newcomers }, at): Refusal[] => {
      const { charged, pending } = counts[at]!
      const isNewcomer = newcomers !== undefined && counts[newcomers.emptyAt]!.charged === 0
      if (charged < (isNewcomer ? newcomers.limit : limit)) return []
      const state = pending > 0 ? 'pending' : 'spent'
      return [{ at, state, retryAfterMs: (current(subject, now)?.expiresAt ?? now) - now }]
    })
    return refusals.find(({ state }) => state === 'spent') ?? refusals[0]
  }

  function put(charge: Charge, count: Count, record: Omit<AttemptRecord, 'counters'>, now: number): void {
    const { [charge.counter]: _, ...others } = current(charge.subject, now)?.counters ?? {}
    const counters = count.charged > 0 ? { ...others, [charge.counter]: count } : others
    if (Object.keys(counters).length === 0) void attempts.remove(charge.subject)
    else void attempts.put(charge.subject, { ...record, counters })
  }

  async function reserve(
    charges: readonly Charge[],
    { windowMs, pendingMs }: Counting,
  ): Promise<Refusal | undefined> {
    // Nobody needs a transaction to be refused.
    attempts.resetReadTxn()
    const early = refusalOf(charges, Date.now())
    if (early) return early
    return durably(() => {
      const now = Date.now()
      const refusal = refusalOf(charges, now)
      if (refusal) return refusal
      for (const charge of charges) {
        const { charged, pending } = countOf(charge, now)
        const record = current(charge.subject, now)
        put(
          charge,
          { charged: charged + 1, pending: pending + (pendingMs > 0 ? 1 : 0) },
          {
            expiresAt: record?.expiresAt ?? now + windowMs,
            pendingUntil: pendingMs > 0 ? now + pendingMs : (record?.pendingUntil ?? 0),
          },
          now,
        )
      }
      return undefined
    })
  }

  return {
    reserve,

    settle: (charges, outcome) =>
      durably(() => {
        const now = Date.now()
        for (const charge of charges) {
          const record = current(charge.subject, now)
          const { charged, pending } = record?.counters[charge.counter] ?? EMPTY
          if (!record || charged === 0) continue
          const left = {
            charged: charged - (outcome === 'given_back' ? 1 : 0),
            pending: Math.max(0, pending - 1),
          }
          put(charge, left, record, now)
        }
      }),

    count: (charge, windowMs) => reserve([charge], { windowMs, pendingMs: 0 }),

    forget: (subject) =>
      durably(() => {
        const wasThere = current(subject, Date.now()) !== undefined
        void attempts.remove(subject)
        return wasThere
      }),
  }
}
