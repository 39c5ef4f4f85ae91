import { setPriority } from 'node:os'
import { type Algorithm, hashSync, verifySync } from '@node-rs/argon2'

/** One password to hash, or to hold against a hash. */
export interface HashTask {
  readonly password: string
  readonly verify?: string
  /** Milliseconds since 1970 after which nobody waits for the answer. */
  readonly deadline: number
}

/** The answer to a task that was begun too late. */
export const EXPIRED = 0

// RFC 9106 argon2id with OWASP's least cost: 19 MiB, two passes, one lane.
const ARGON2ID = {
  algorithm: 2 satisfies Algorithm.Argon2id,
  memoryCost: 19 * 1024,
  timeCost: 2,
  parallelism: 1,
}

// On Linux a priority is the thread's own. Refreshes go before sign-ins: those are many and cheap, these few and dear.
setPriority(19)

// The sync calls, because the async ones would queue on libuv's pool, in front of the signatures.
export default function work(task: HashTask): string | boolean | typeof EXPIRED {
  if (Date.now() >= task.deadline) return EXPIRED
  if (task.verify === undefined) return hashSync(task.password, ARGON2ID)
  try {
    return verifySync(task.verify, task.password)
  } catch {
    return false
  }
}
