import { statfsSync } from 'node:fs'
import type { RootDatabase } from 'lmdb'
import { answersWithin } from '../in-time.ts'
import { watchLastTransaction } from './last-transaction.ts'

/** A disk that takes longer than this is out of order; the request is answered within a second. */
const FLUSH_MS = 900

/**
 * Free space below which nothing is written any more. A write that the disk refuses is not survived: the library then
 * writes its message over the end of a buffer. So it must not come to that.
 */
const LEAST_FREE_BYTES = 16 * 1024 * 1024
/** How long the look at the disk is gone by: a disk writes less in that time than must be free. */
const LOOK_MS = 10

/**
 * Runs a change in a write transaction, of which there is one at a time over all processes, and resolves with its result.
 *
 * @throws {UnavailableError} when the disk is full, broken or too slow.
 */
export type Transact = <T>(change: () => T) => Promise<T>

/** The two ways to write, by what is known when they resolve; docs/decisions/0014-lmdb-writes.md has the argument. */
export interface Writes {
  /** It is on disk. */
  readonly durably: Transact
  /** Everyone sees it, and it outlives this process. A loss of power may undo it. */
  readonly committed: Transact
  /** Resolves when nothing is under way any more and all that was committed is on disk, as far as the disk allows. */
  finish(): Promise<void>
}

/** What a transaction finds out that must not go on: the next one may. */
class ForgottenError extends Error {}

/**
 * @param folder of the environment.
 * @param hasRoom says whether the disk takes more.
 */
export function lmdbWrites(root: RootDatabase, folder: string, hasRoom = roomIn(folder)): Writes {
  const inTime = answersWithin(FLUSH_MS)
  const flush = flushesOf(root)
  const last = watchLastTransaction(root, folder)
  // What was forgotten by this very opening is not to be missed by readers either.
  root.transactionSync(() => void last.wasForgotten())
  const underWay = new Set<Promise<unknown>>()

  function requireRoom(): void {
    if (!hasRoom()) throw new Error('the disk is full')
  }

  async function transact<T>(change: () => T): Promise<T> {
    requireRoom()
    const end = performance.now() + FLUSH_MS
    const lookAndChange = () => {
      // The caller has been told that it failed. Made later all the same, a rotation would be old before its client
      // asks again, and that would look like reuse.
      if (performance.now() > end) throw new Error('the write had to wait for too long')
      // What the change puts is committed even if it throws, so each look is before it. It may have waited for most of
      // that time, in which anybody can fill the disk.
      if (last.wasForgotten()) throw new ForgottenError('a transaction was forgotten')
      requireRoom()
      return change()
    }
    for (;;) {
      try {
        return await root.transaction(lookAndChange)
      } catch (error) {
        // A second promise tells of the same failure; unheard it would end the process.
        const { commitError } = error as { commitError?: Promise<unknown> }
        commitError?.catch(() => undefined)
        if (!(error instanceof ForgottenError)) throw error
      }
    }
  }

  async function transactAndFlush<T>(change: () => T): Promise<T> {
    const result = await transact(change)
    await flush()
    return result
  }

  function watched<T>(work: Promise<T>): Promise<T> {
    underWay.add(work)
    const over = () => underWay.delete(work)
    work.then(over, over)
    return work
  }

  return {
    durably: (change) => inTime(() => watched(transactAndFlush(change))),
    committed: (change) => inTime(() => watched(transact(change))),
    async finish() {
      // A write that nobody waits for any more may still be under way. Closed over it, LMDB keeps its lock, and whoever
      // opens the store next in this process waits for ever.
      while (underWay.size > 0) await Promise.allSettled(underWay)
      await flush().catch(() => undefined)
      last.close()
    },
  }
}

/** Looks now and then whether the file system of a folder has room, to this user. */
export function roomIn(folder: string, leastBytes = LEAST_FREE_BYTES): () => boolean {
  let lookAt = 0
  let has = true
  return () => {
    const now = performance.now()
    if (now < lookAt) return has
    lookAt = now + LOOK_MS
    const { bavail, bsize } = statfsSync(folder)
    has = bavail * bsize >= leastBytes
    return has
  }
}

/** Known to the library, unknown to its types: flushes the file on a thread of its own. */
interface Syncing {
  sync(done: (error?: Error | null) => void): void
}

/**
 * The last step of a durable write. LMDB has flushed the data of the transaction, but not the page that makes it the
 * current one (`noMetaSync`).
 *
 * @returns the function that flushes all that is committed when it is called; those who come while a flush is under way
 *   share the next.
 */
function flushesOf(root: RootDatabase): () => Promise<void> {
  const once = () =>
    new Promise<void>((resolve, reject) => {
      ;(root as unknown as Syncing).sync((error) => {
        if (error) reject(error)
        else resolve()
      })
    })
  let running: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  return () => {
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined
        running = once()
        return running
      })
    return next
  }
}
