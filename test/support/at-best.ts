const MOST_TIMES = 5

/** The least that it comes to, tried again while that is not below the limit: what is slow by itself is slow each time. */
export async function atBest(limit: number, attempt: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < MOST_TIMES && least >= limit; turn += 1) least = Math.min(least, await attempt())
  return least
}
