import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { META, numberAt } from './page-format.ts'

/*
 * Whoever opens an LMDB environment reads in its file which transaction was the last, and a moment later writes that into
 * the lock file, from which the next writer takes it; all that without the write lock (`mdb_env_open2` in the lmdb
 * package, 3.5.6). A transaction that another process commits in between is forgotten: the next one begins where that one
 * began, and takes its place. So each transaction looks, while it has the lock, whether it follows the last one.
 */

/** Where the lock file has the number of the last transaction: behind its magic number and its format. */
const LOCK_TRANSACTION = 8

export interface LastTransaction {
  /**
   * Within a write transaction: whether the last one was forgotten, so that this one must come to nothing. What the next one
   * goes by has then been put right.
   */
  wasForgotten(): boolean
  /** Also a second time. */
  close(): void
}

/** @param folder of the environment, which is open. */
export function watchLastTransaction(root: RootDatabase, folder: string): LastTransaction {
  const file = openSync(join(folder, 'data.mdb'), 'r')
  let isClosed = false
  // Never closed: with any descriptor of a file a process gives up all its locks of it (POSIX `fcntl`), and LMDB has some of
  // this one.
  let lock: number | undefined
  const size = Buffer.alloc(4)
  readSync(file, size, 0, 4, META.pageSize)
  const pageSize = size.readUInt32LE()
  // From the number in the first page to that in the second, in one read.
  const between = Buffer.alloc(pageSize + 8)
  return {
    wasForgotten() {
      readSync(file, between, 0, between.length, META.transaction)
      const last = Math.max(numberAt(between, 0), numberAt(between, pageSize))
      if (idOf(root) === last + 1) return false
      lock ??= openSync(join(folder, 'lock.mdb'), 'r+')
      writeLast(lock, last)
      return true
    },
    close() {
      if (!isClosed) closeSync(file)
      isClosed = true
    },
  }
}

/** Known to the library, unknown to its types. */
const idOf = (root: RootDatabase) => (root as unknown as { getWriteTxnId(): number }).getWriteTxnId()

function writeLast(lock: number, last: number): void {
  const number = Buffer.alloc(8)
  number.writeBigUInt64LE(BigInt(last))
  writeSync(lock, number, 0, 8, LOCK_TRANSACTION)
}
