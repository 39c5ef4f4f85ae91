/** One password to hash, or to hold against a hash, as it goes to a worker thread. */
export interface HashTask {
  /** As it was typed. */
  readonly password: string
  readonly verify?: string
  /** Milliseconds since 1970 after which it is too late to begin: nobody would wait for the answer. */
  readonly beginBy: number
  /** Whether there were many waiting when it came. */
  readonly isCrowded: boolean
}

/** The answer to a task that was begun too late. */
export const EXPIRED = 0

/** RFC 9106 argon2id with OWASP's least cost: 19 MiB, two passes, one lane. */
export const COST = { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }
