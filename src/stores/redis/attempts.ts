import type { AttemptStore, Charge, Counting, Refusal } from '../contract.ts'
import type { Connection } from './connection.ts'
import { attemptsKey } from './keys.ts'

export function redisAttempts({ ask }: Connection): AttemptStore {
  async function reserve(
    charges: readonly Charge[],
    { windowMs, pendingMs, batch = 0 }: Counting,
  ): Promise<Refusal | undefined> {
    const { keys, placeOf } = keysOf(charges)
    const [at, pending, retryAfterMs] = await ask((redis) =>
      redis.attemptReserve(
        keys.length,
        ...keys,
        windowMs,
        pendingMs,
        batch + 1,
        ...charges.flatMap(({ subject, counter, limit, newcomers }) => [
          placeOf(subject),
          counter,
          limit,
          newcomers?.limit ?? 0,
          newcomers ? newcomers.emptyAt + 1 : 0,
        ]),
      ),
    )
    return at === 0 ? undefined : { at: at - 1, state: pending ? 'pending' : 'spent', retryAfterMs }
  }

  return {
    reserve,

    async settle(charges, outcome, { windowMs, batch = 0 }) {
      const { keys, placeOf } = keysOf(charges)
      await ask((redis) =>
        redis.attemptSettle(
          keys.length,
          ...keys,
          outcome === 'failed' ? windowMs : 0,
          batch + 1,
          ...charges.flatMap(({ subject, counter }) => [placeOf(subject), counter]),
        ),
      )
    },

    count: (charge, windowMs) => reserve([charge], { windowMs, pendingMs: 0 }),

    async forget(subject) {
      return (await ask((redis) => redis.del(attemptsKey(subject)))) === 1
    },
  }
}

/** The keys of the charges' subjects, each once, and where in that list a subject is, counted from 1. */
function keysOf(charges: readonly Charge[]) {
  const subjects = [...new Set(charges.map(({ subject }) => subject))]
  return { keys: subjects.map(attemptsKey), placeOf: (subject: string) => subjects.indexOf(subject) + 1 }
}
