import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { UnavailableError } from '../oauth/errors.ts'
import { COST, EXPIRED, type HashTask } from './password-task.ts'
import { toBase64 } from './stored-hash.ts'

/** Hashes waiting or running per thread beyond which a sign-in is refused at once. At 20 to 40 ms each. */
const QUEUE_PER_THREAD = 64
/** So many waiting per thread are a crowd: a person's patience is over before the last of them has an answer. */
const CROWD_PER_THREAD = 16

const TOO_MANY = 'Too many sign-ins are waiting'

/** How much of its time a hash may wait: the rest is for a rest of the thread, and for the hash on a busy core. */
const SHARE_TO_WAIT = 0.8

/** How the hashing treats whoever waits for it, and whom it lets go first. */
export interface Manners {
  /** Milliseconds after which an answer is worth nothing any more. */
  readonly timeLimitMs: number
  /** The niceness of the threads, on Linux. */
  readonly niceness: number
  /** In a crowd, how many times as long as it had to wait for its core a thread leaves the core alone; on Linux. */
  readonly rests: number
}

/**
 * For a server: refreshes are many and cheap, sign-ins few and dear, so these wait for those. Not at the lowest
 * priority, at which a busy machine would leave them no time at all. In a flood of sign-ins that is not enough: the kernel
 * owes such threads a tenth of the core, and pays it in ticks of several milliseconds, which refreshes see.
 */
export const IN_SERVER: Manners = { timeLimitMs: 5000, niceness: 10, rests: 3 }
/** For a command: nobody else waits. */
export const IN_COMMAND: Manners = { timeLimitMs: 60_000, niceness: 0, rests: 0 }

/** Argon2id, and the imported kinds, in worker threads of their own, so that no signature ever waits for a password. */
export interface PasswordHashing {
  /**
   * @returns the hash in PHC format.
   * @throws {UnavailableError} when the queue is full, the time is up or the computation fails.
   */
  hash(password: string): Promise<string>
  /**
   * Whether this is the password behind the hash, of whichever kind (stored-hash.ts). With no hash (no such user) it
   * does the work of one of ours and says no.
   *
   * @throws {UnavailableError} when the queue is full, the time is up or it cannot be computed: that it is wrong is said
   *   only of a password that was held against the hash.
   */
  verify(password: string, passwordHash: string | undefined): Promise<boolean>
  /**
   * For whoever has other work before the hash: in a flood the refusal should come before it.
   *
   * @throws {UnavailableError} when the queue is full now.
   */
  requireRoom(): void
  close(): Promise<void>
}

/**
 * Starts the worker threads: one fewer than there are cores, at least one.
 *
 * @param processes as many as share the cores, and hence the threads.
 */
export function startPasswordHashing(
  { timeLimitMs, niceness, rests }: Manners,
  processes = 1,
): PasswordHashing {
  const threads = Math.max(1, Math.floor((availableParallelism() - 1) / processes))
  const room = threads * QUEUE_PER_THREAD
  const pool = new Piscina<HashTask, string | boolean | typeof EXPIRED>({
    filename: new URL('./password-worker.js', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: room,
    atomics: 'disabled',
    // The workers inherit neither variables nor arguments, which may hold secrets that hashing has no use for.
    env: {},
    argv: [],
    workerData: { niceness, rests },
  })

  async function run(task: Pick<HashTask, 'password' | 'verify'>): Promise<string | boolean> {
    let timer: NodeJS.Timeout | undefined
    const timeUp = new Promise<typeof EXPIRED>((resolve) => {
      timer = setTimeout(resolve, timeLimitMs, EXPIRED)
    })
    try {
      const isCrowded = pool.queueSize >= threads * CROWD_PER_THREAD
      const beginBy = Date.now() + timeLimitMs * SHARE_TO_WAIT
      const answer = await Promise.race([pool.run({ ...task, beginBy, isCrowded }), timeUp])
      if (answer === EXPIRED) throw new UnavailableError('Password hashing takes too long')
      return answer
    } catch (error) {
      if (error instanceof Error && /queue is at limit/i.test(error.message)) {
        throw new UnavailableError(TOO_MANY, { cause: error })
      }
      if (error instanceof UnavailableError) throw error
      throw new UnavailableError('Passwords cannot be computed at the moment', { cause: failureOf(error) })
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
    requireRoom() {
      if (pool.queueSize >= room) throw new UnavailableError(TOO_MANY)
    },
    // What runs is let finish: its answer would come to a pool that is gone, and end the process.
    close: () => pool.close({ force: true }),
  }
}

/** What is logged of it: a message might repeat the hash. */
function failureOf(error: unknown): Error {
  const { name, code } = error as Error & { code?: unknown }
  return new Error(typeof code === 'string' ? code : name)
}

/** A hash of no password, which costs as much to verify as any of ours. */
const NOBODYS = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$${toBase64(randomBytes(16))}$${toBase64(randomBytes(32))}`
