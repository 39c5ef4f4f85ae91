/** Refreshes are not held up for longer either; and the end of a server waits for a rest. */
const MOST_MS = 500

/** The law of how long a thread that hashes leaves its core alone between two hashes. */
export interface Rests {
  /** Computes, and takes note of how long that had to wait for the core. */
  during<T>(compute: () => T): T
  /** Milliseconds to rest before the next: 0 where the core was free, or nobody crowds. */
  before(isCrowded: boolean): number
}

/**
 * A thread of low priority is still owed its small share of a core that others keep busy, and the kernel pays it in whole
 * ticks, in which nobody else is served. Who rests is owed nothing.
 *
 * @param times how many times as long as it waited it rests; 0 for never.
 * @param waitedMs how long this thread could have run and did not, since it began.
 */
export function createRests(times: number, waitedMs: () => number): Rests {
  if (times === 0) return { during: (compute) => compute(), before: () => 0 }
  let lastMs = 0
  return {
    during(compute) {
      const before = waitedMs()
      try {
        return compute()
      } finally {
        lastMs = waitedMs() - before
      }
    },
    before(isCrowded) {
      const rest = isCrowded ? Math.min(times * lastMs, MOST_MS) : 0
      // Paid once, whatever becomes of the next.
      lastMs = 0
      return rest
    },
  }
}
