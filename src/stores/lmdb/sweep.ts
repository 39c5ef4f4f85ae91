import type { Databases, Durably } from './store.ts'

/** How often a part of the families is looked through, and how large a part: a million families take 17 minutes. */
const INTERVAL_MS = 1000
const BATCH = 1000

/**
 * LMDB has no expiry of its own. An ended family is already refused when it is read; this only gives its room back, a
 * bounded part at a time, and resumes where it stopped.
 *
 * @returns the function that ends it.
 */
export function startSweep(databases: Databases, durably: Durably): () => void {
  let from = ''
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    sweepOnce(databases, durably, from, Date.now())
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
 * Looks at up to {@link BATCH} families from the one with this id on, and removes those that have ended.
 *
 * @returns the id to go on from; empty when the end was reached.
 */
export async function sweepOnce(
  { families }: Databases,
  durably: Durably,
  from: string,
  now: number,
): Promise<string> {
  const ended: string[] = []
  let last = ''
  let seen = 0
  for (const { key, value } of families.getRange({ start: from, limit: BATCH })) {
    last = key
    seen += 1
    if (now >= value.expiresAt) ended.push(key)
  }
  if (ended.length > 0) {
    await durably(() => {
      for (const id of ended) {
        // It was read outside this transaction: another server may have begun it anew or moved its end.
        const family = families.get(id)
        if (family && now >= family.expiresAt) void families.remove(id)
      }
    })
  }
  return seen < BATCH ? '' : last
}
