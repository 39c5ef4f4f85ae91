import { MAX_LIFE_S } from '../sound-records.ts'
import type { Records } from './records.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** How often a part of each database is looked through, and how large a part: a million families take 17 minutes. */
const INTERVAL_MS = 1000
const BATCH = 1000
/** What is to end later than that was not written by us. */
const LONGEST_MS = 1000 * MAX_LIFE_S

/** What ends by itself. */
interface Ending {
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * What becomes of a record whose end cannot be read. One that counts attempts would refuse them for ever, and one that
 * they all share would refuse everybody.
 */
type Damaged = 'kept' | 'removed'

/**
 * LMDB has no expiry of its own. What has ended is already refused when it is read; this only gives its room back, a
 * bounded part at a time, and resumes where it stopped.
 *
 * @returns the function that ends it.
 */
export function startSweep({ families, attempts, networks }: Databases, committed: Transact): () => void {
  const stops = [
    // A damaged session is left for its operator to restore.
    sweep(families, committed, 'kept'),
    sweep(attempts, committed, 'removed'),
    sweep(networks, committed, 'removed'),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

function sweep(
  database: Pick<Records<Ending, string>, 'get' | 'getKeys' | 'remove'>,
  committed: Transact,
  damaged: Damaged,
): () => void {
  let from = ''
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    sweepOnce(database, committed, from, Date.now(), damaged)
      .then((next) => {
        from = next
      })
      // The next turn tries again; whoever is served by this store hears of its trouble from the request itself.
      .catch(() => undefined)
      .finally(() => {
        busy = false
      })
  }, INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Looks at up to {@link BATCH} records from the one with this key on, and removes those that have ended.
 *
 * @returns the key to go on from; empty when the end was reached.
 */
export async function sweepOnce(
  database: Pick<Records<Ending, string>, 'get' | 'getKeys' | 'remove'>,
  committed: Transact,
  from: string,
  now: number,
  damaged: Damaged = 'kept',
): Promise<string> {
  const ended: string[] = []
  let last = ''
  let seen = 0
  const never = Number.POSITIVE_INFINITY
  const endOfDamaged = damaged === 'removed' ? 0 : never
  const endOf = (key: string) => {
    try {
      const record = database.get(key)
      if (record === undefined) return never
      const end: unknown = record?.expiresAt
      return Number.isFinite(end) && (end as number) - now <= LONGEST_MS ? (end as number) : endOfDamaged
    } catch {
      // It must not keep the sweep from the others.
      return endOfDamaged
    }
  }
  for (const key of database.getKeys({ start: from, limit: BATCH })) {
    last = key
    seen += 1
    if (now >= endOf(key)) ended.push(key)
  }
  if (ended.length > 0) {
    await committed(() => {
      for (const key of ended) {
        // It was read outside this transaction: another server may have begun it anew or moved its end.
        if (now >= endOf(key)) void database.remove(key)
      }
    })
  }
  return seen < BATCH ? '' : last
}
