import type { RootDatabase } from 'lmdb'
import { answersWithin } from '../in-time.ts'

/** A disk that takes longer than this is out of order; the request is answered within a second. */
const FLUSH_MS = 900

/**
 * Runs a change in a write transaction, of which there is one at a time over all processes, and resolves with its result.
 *
 * @throws {UnavailableError} when the disk is full, broken or too slow.
 */
export type Transact = <T>(change: () => T) => Promise<T>

/** The three ways to write, by what is known when they resolve; docs/decisions/0014-lmdb-writes.md has the argument. */
export interface Writes {
  /** It is on disk. */
  readonly durably: Transact
  /** Everyone sees it, and it outlives this process. A loss of power may undo it. */
  readonly committed: Transact
  /**
   * It is decided: whoever writes next, in whatever process, finds it made. It is committed a flush later; should that
   * fail, or this process be killed within, it is undone. For what may be lost, and only for what `isAhead` allows:
   * anything else resolves when it is committed.
   *
   * @param id what is changed; see `settled`.
   */
  decided<T>(id: string, change: () => T, isAhead: (result: T) => boolean): Promise<T>
  /** Resolves when what this process has decided about `id`, or about anything, is committed or undone. */
  settled(id?: string): Promise<void>
  /** Resolves when nothing is under way any more and all that was committed is on disk, as far as the disk allows. */
  finish(): Promise<void>
}

/**
 * What was told before it was committed. It is the process', not the handle's, so that every handle in it sees at once
 * what one of them has answered; ids are unique.
 */
const ahead = new Map<string, Promise<unknown>>()

export function lmdbWrites(root: RootDatabase): Writes {
  const inTime = answersWithin(FLUSH_MS)
  const flush = flushesOf(root)
  const underWay = new Set<Promise<unknown>>()
  /** A disk that refused the last commit may refuse the next: until one is taken nothing is told ahead of it. */
  let isTrusted = true

  function watched<T>(work: Promise<T>): Promise<T> {
    underWay.add(work)
    const over = () => underWay.delete(work)
    work.then(over, over)
    return work
  }

  async function transact<T>(change: () => T): Promise<T> {
    const end = performance.now() + FLUSH_MS
    try {
      return await root.transaction(() => {
        // The caller has been told that it failed. Made later all the same, a rotation would be old before its client
        // asks again, and that would look like reuse.
        if (performance.now() > end) throw new Error('the write had to wait for too long')
        return change()
      })
    } catch (error) {
      // A second promise tells of the same failure; unheard it would end the process.
      const { commitError } = error as { commitError?: Promise<unknown> }
      commitError?.catch(() => undefined)
      throw error
    }
  }

  function transactAhead<T>(id: string, change: () => T, isAhead: (result: T) => boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      const written: Promise<void> = watched(
        transact(() => {
          const result = change()
          if (isTrusted && isAhead(result)) {
            ahead.set(id, written)
            resolve(result)
          }
          return result
        }),
      )
        .then(
          (result) => {
            if (isAhead(result)) isTrusted = true
            resolve(result)
          },
          (error) => {
            isTrusted = false
            reject(error)
          },
        )
        .finally(() => {
          if (ahead.get(id) === written) ahead.delete(id)
        })
    })
  }

  return {
    durably: (change) =>
      inTime(() =>
        watched(
          transact(change).then(async (result) => {
            await flush()
            return result
          }),
        ),
      ),
    committed: (change) => inTime(() => watched(transact(change))),
    decided: (id, change, isAhead) => inTime(() => transactAhead(id, change, isAhead)),
    async settled(id) {
      const waited = id === undefined ? [...ahead.values()] : [ahead.get(id)]
      if (waited.some((one) => one !== undefined)) await inTime(() => Promise.all(waited))
    },
    async finish() {
      // A write that nobody waits for any more may still be under way. Closed over it, LMDB keeps its lock, and whoever
      // opens the store next in this process waits for ever.
      while (underWay.size > 0) await Promise.allSettled(underWay)
      await flush().catch(() => undefined)
    },
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
