import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { UnavailableError } from '../oauth/errors.ts'
import { EXPIRED, type HashTask } from './password-worker.ts'

/** Hashes waiting or running per thread beyond which a sign-in is refused at once. At 20 to 40 ms each. */
const QUEUE_PER_THREAD = 64
/** A sign-in that has waited this long has lost its user; its hash is not worth computing any more. */
const TIME_LIMIT_MS = 5000

/** Argon2id in worker threads of its own, so that no signature ever waits for a password. */
export interface PasswordHashing {
  /**
   * @returns the hash in PHC format.
   * @throws {UnavailableError} when the queue is full or the time is up.
   */
  hash(password: string): Promise<string>
  /**
   * Whether this is the password behind the hash. With no hash (no such user) it does the same work and says no.
   *
   * @throws {UnavailableError} when the queue is full or the time is up.
   */
  verify(password: string, passwordHash: string | undefined): Promise<boolean>
  close(): Promise<void>
}

/** Starts the worker threads: one fewer than there are cores, at least one. */
export async function startPasswordHashing(): Promise<PasswordHashing> {
  const threads = Math.max(1, availableParallelism() - 1)
  const pool = new Piscina<HashTask, string | boolean | typeof EXPIRED>({
    filename: new URL('./password-worker.js', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: threads * QUEUE_PER_THREAD,
    atomics: 'disabled',
    // The workers inherit neither variables nor arguments, which may hold secrets that hashing has no use for.
    env: {},
    argv: [],
  })

  async function run(task: Omit<HashTask, 'deadline'>): Promise<string | boolean> {
    let timer: NodeJS.Timeout | undefined
    const timeUp = new Promise<typeof EXPIRED>((resolve) => {
      timer = setTimeout(resolve, TIME_LIMIT_MS, EXPIRED)
    })
    try {
      const answer = await Promise.race([pool.run({ ...task, deadline: Date.now() + TIME_LIMIT_MS }), timeUp])
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

  const hash = async (password: string) => String(await run({ password: password.normalize('NFC') }))
  const nobodys = await hash(crypto.randomUUID())
  return {
    hash,
    async verify(password, passwordHash) {
      const equal = await run({ password: password.normalize('NFC'), verify: passwordHash ?? nobodys })
      return equal === true && passwordHash !== undefined
    },
    close: () => pool.destroy(),
  }
}
