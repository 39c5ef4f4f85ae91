const MOST_TIMES = 5

/** The least that it comes to, tried again while that is not below the limit: what is slow by itself is slow each time. */
export async function atBest(limit: number, attempt: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < MOST_TIMES && least >= limit; turn += 1) least = Math.min(least, await attempt())
  return least
}

/**
 * Plays rounds of a comparison of least times: at least so many, and more while it does not hold. What else a machine does
 * adds to a time and never takes from it, so more rounds only bring the least nearer to the work itself.
 */
export async function inRounds(
  { least, most }: { readonly least: number; readonly most: number },
  holds: () => boolean,
  play: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < least || (round < most && !holds()); round += 1) await play(round)
}
