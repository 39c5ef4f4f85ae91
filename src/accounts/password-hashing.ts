import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { UnavailableError } from '../oauth/errors.ts'
import { COST, EXPIRED, type HashTask } from './password-task.ts'
import { toBase64 } from './stored-hash.ts'

/** Hashes waiting or running per thread beyond which a sign-in is refused at once. At 20 to 40 ms each. */
const QUEUE_PER_THREAD = 64

/** How the hashing treats whoever waits for it, and whom it lets go first. */
export interface Manners {
  /** Milliseconds after which an answer is worth nothing any more. */
  readonly timeLimitMs: number
  /** The niceness of the threads, on Linux. */
  readonly niceness: number
}

/**
 * For a server: refreshes are many and cheap, sign-ins few and dear, so these wait for those. Not at the lowest
 * priority, at which a busy machine would leave them no time at all.
 */
export const IN_SERVER: Manners = { timeLimitMs: 5000, niceness: 10 }
/** For a command: nobody else waits. */
export const IN_COMMAND: Manners = { timeLimitMs: 60_000, niceness: 0 }

/** Argon2id, and the imported kinds, in worker threads of their own, so that no signature ever waits for a password. */
export interface PasswordHashing {
  /**
   * @returns the hash in PHC format.
   * @throws {UnavailableError} when the queue is full or the time is up.
   */
  hash(password: string): Promise<string>
  /**
   * Whether this is the password behind the hash, of whichever kind (stored-hash.ts). With no hash (no such user) it
   * does the work of one of ours and says no.
   *
   * @throws {UnavailableError} when the queue is full or the time is up.
   */
  verify(password: string, passwordHash: string | undefined): Promise<boolean>
  close(): Promise<void>
}

/**
 * Starts the worker threads: one fewer than there are cores, at least one.
 *
 * @param processes as many as share the cores, and hence the threads.
 */
export function startPasswordHashing({ timeLimitMs, niceness }: Manners, processes = 1): PasswordHashing {
  const threads = Math.max(1, Math.floor((availableParallelism() - 1) / processes))
  const pool = new Piscina<HashTask, string | boolean | typeof EXPIRED>({
    filename: new URL('./password-worker.js', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: threads * QUEUE_PER_THREAD,
    atomics: 'disabled',
    // The workers inherit neither variables nor arguments, which may hold secrets that hashing has no use for.
    env: {},
    argv: [],
    workerData: { niceness },
  })

  async function run(task: Omit<HashTask, 'deadline'>): Promise<string | boolean> {
    let timer: NodeJS.Timeout | undefined
    const timeUp = new Promise<typeof EXPIRED>((resolve) => {
      timer = setTimeout(resolve, timeLimitMs, EXPIRED)
    })
    try {
      const answer = await Promise.race([pool.run({ ...task, deadline: Date.now() + timeLimitMs }), timeUp])
      if (answer === EXPIRED) throw new UnavailableError('Password hashing takes too long')
      return answer
    } catch (error) {
      if (error instanceof Error && /queue is at limit/i.test(error.message)) {
        throw new UnavailableError('Too many sign-ins are waiting', { cause: error })
      }
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    async hash(password) {
      return String(await run({ password }))
    },
    async verify(password, passwordHash) {
      const equal = await run({ password, verify: passwordHash ?? NOBODYS })
      return equal === true && passwordHash !== undefined
    },
    // What runs is let finish: its answer would come to a pool that is gone, and end the process.
    close: () => pool.close({ force: true }),
  }
}

/** A hash of no password, which costs as much to verify as any of ours. */
const NOBODYS = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$${toBase64(randomBytes(16))}$${toBase64(randomBytes(32))}`
