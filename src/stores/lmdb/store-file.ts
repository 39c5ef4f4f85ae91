import { closeSync, existsSync, openSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { META_BYTES, type Meta, metaOf } from './page-format.ts'
import { checkPages, type OwnsKey, PageFault, readPage } from './pages.ts'

/** A store file that cannot be used. The message names it and the mend. */
export class StoreFileError extends Error {}

/** For who writes meanwhile. */
const LOOKS = 100
/** For who begins a file. */
const EMPTY_MS = 500

/**
 * Looks whether LMDB can open the file: it maps what it finds into memory unseen, and the process dies of what it is not.
 * And whether there is one where there was one: LMDB would begin another, in which nobody is known.
 *
 * @param path of `data.mdb`.
 * @throws {StoreFileError} when it is no file of LMDB's, or has been lost.
 */
export function requireStoreFile(path: string): void {
  if (!existsSync(path)) {
    // The file is made before its lock.
    if (existsSync(join(dirname(path), 'lock.mdb'))) throw lost(path, 'missing')
    return
  }
  // Another process may be about to begin it.
  for (let look = 1; statSync(path).size === 0; look += 1) {
    if (look === LOOKS) throw lost(path, 'empty')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EMPTY_MS / LOOKS)
  }
  withFile(path, (file) => currentMeta(path, file))
}

function lost(path: string, how: 'missing' | 'empty'): StoreFileError {
  return new StoreFileError(
    `${path} is ${how}, and there was a store. Put it back from a backup; or remove the folder to begin another.`,
  )
}

/**
 * Looks at every page that is in use: 0.2 s for 150,000 sessions.
 *
 * @param path of `data.mdb`. Who asks must be reading: then no page of this transaction or a later one is written anew
 *   meanwhile.
 * @param names the databases that there may be.
 * @throws {StoreFileError} when one is damaged, or is missing.
 */
export function requireSoundPages(path: string, names: ReadonlySet<string>, ownsKey: OwnsKey): void {
  withFile(path, (file) => checkPages(file, currentMeta(path, file), { names, ownsKey }))
}

function withFile(path: string, work: (file: number) => unknown): void {
  const file = openSync(path, 'r')
  try {
    work(file)
  } catch (error) {
    if (!(error instanceof PageFault)) throw error
    throw new StoreFileError(
      `${path} is damaged: ${error.message}. Put it back from a backup, or name another folder.`,
    )
  } finally {
    closeSync(file)
  }
}

function currentMeta(path: string, file: number): Meta {
  // The two are not read at once, and somebody may be writing them.
  for (let look = 1; look <= LOOKS; look += 1) {
    const first = metaAt(file, 0, 0)
    const second = first && metaAt(file, 1, first.pageSize)
    if (!first || !second || second.pageSize !== first.pageSize) break
    if (Math.abs(second.transaction - first.transaction) > 1) continue
    return second.transaction > first.transaction ? second : first
  }
  throw new StoreFileError(
    `${path} is damaged, or is no LMDB file. Put it back from a backup, or name another folder.`,
  )
}

/** @returns `undefined` when this is none: odd transactions begin in the second page, even ones in the first. */
function metaAt(file: number, page: 0 | 1, offset: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES)
  if (!readPage(file, page, bytes, offset)) return undefined
  const meta = metaOf(bytes)
  return meta && (meta.transaction === 0 || meta.transaction % 2 === page) ? meta : undefined
}
