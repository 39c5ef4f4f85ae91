import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** A store file that cannot be used. The message names it and the mend. */
export class StoreFileError extends Error {}

/*
 * The parts of LMDB's format that say which pages are in use, as the lmdb package writes it: page headers have the
 * transaction in them, unlike those of plain LMDB. Numbers are little-endian; Node runs on no other machine that the
 * package is built for.
 */
const HEADER_BYTES = 24
const NODE_BYTES = 8
const MAGIC = 0xbeefc0de
const VERSION = 2
/** Of a meta page; the record of a named database has its root at the same place as those in the meta page. */
const META = {
  magic: 24,
  version: 28,
  pageSize: 48,
  freeRoot: 88,
  mainRoot: 136,
  lastPage: 144,
  transaction: 152,
}
const META_BYTES = 160
const DATABASE_ROOT = 40
const PAGE = { number: 0, flags: 18, lower: 20 }
const BRANCH = 0x01
const LEAF = 0x02
/** Flags of a leaf's node: the value is on pages of its own; the value is a database. */
const BIG = 0x01
const SUB = 0x02

interface Meta {
  readonly pageSize: number
  readonly lastPage: number
  readonly transaction: bigint
  /** Those of the free list and of the list of databases. */
  readonly roots: readonly bigint[]
}

/**
 * Looks whether LMDB can map the file into memory. It does so unseen, and the process dies of SIGBUS at the first page
 * that is not there. What is damaged within a page is not looked for.
 *
 * @param path of `data.mdb`.
 * @throws {StoreFileError} when it is cut short, or is no file of LMDB's.
 */
export function requireWhole(path: string): void {
  const file = openSync(path, 'r')
  try {
    // What is empty is about to be begun, by another process.
    if (fstatSync(file).size === 0) return
    for (;;) {
      const meta = currentMeta(file)
      if (!meta) {
        throw new StoreFileError(
          `${path} is damaged, or is no LMDB file. Put it back from a backup, or name another folder.`,
        )
      }
      if (isWhole(file, meta)) return
      // Somebody may be writing: then another transaction is the current one.
      if (currentMeta(file)?.transaction !== meta.transaction) continue
      throw new StoreFileError(
        `${path} is damaged: pages that are in use are missing at its end. Put it back from a backup, or name another folder.`,
      )
    }
  } finally {
    closeSync(file)
  }
}

function currentMeta(file: number): Meta | undefined {
  const first = metaAt(file, 0)
  const second = first && metaAt(file, first.pageSize)
  if (!first || !second || second.pageSize !== first.pageSize) return undefined
  return second.transaction > first.transaction ? second : first
}

function metaAt(file: number, offset: number): Meta | undefined {
  const page = Buffer.alloc(META_BYTES)
  if (readSync(file, page, 0, META_BYTES, offset) < META_BYTES) return undefined
  if (page.readUInt32LE(META.magic) !== MAGIC || page.readUInt32LE(META.version) !== VERSION) return undefined
  const pageSize = page.readUInt32LE(META.pageSize)
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined
  return {
    pageSize,
    lastPage: Number(page.readBigUInt64LE(META.lastPage)),
    transaction: page.readBigUInt64LE(META.transaction),
    roots: [page.readBigUInt64LE(META.freeRoot), page.readBigUInt64LE(META.mainRoot)],
  }
}

/** The file may be shorter than it says, where the pages at its end are free. Only then are all pages looked for. */
function isWhole(file: number, { pageSize, lastPage, roots }: Meta): boolean {
  const pages = Math.floor(fstatSync(file).size / pageSize)
  if (pages > lastPage) return true
  const page = Buffer.alloc(pageSize)
  const toRead = rootsIn(roots)
  for (let read = 0; toRead.length > 0; read += 1) {
    const number = toRead.pop()!
    // More pages than there are is a circle.
    if (number >= pages || read > pages) return false
    readSync(file, page, 0, pageSize, number * pageSize)
    const found = tryPagesNamedIn(page, number)
    if (!found || found.values.some((end) => end > pages)) return false
    toRead.push(...found.next)
  }
  return true
}

function tryPagesNamedIn(page: Buffer, number: number) {
  try {
    return pagesNamedIn(page, number)
  } catch {
    // It names places outside itself.
    return undefined
  }
}

/**
 * @returns the pages to go on with, and where the pages of large values end; `undefined` when this is not the page that
 *   it should be.
 */
function pagesNamedIn(page: Buffer, number: number): { next: number[]; values: number[] } | undefined {
  const flags = page.readUInt16LE(PAGE.flags)
  if (Number(page.readBigUInt64LE(PAGE.number)) !== number || !(flags & (BRANCH | LEAF))) return undefined
  const next: number[] = []
  const values: number[] = []
  const count = page.readUInt16LE(PAGE.lower) >> 1
  for (let at = 0; at < count; at += 1) {
    const node = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * at)
    // Six bytes of page number in a branch; in a leaf four of size, and the flags.
    if (flags & BRANCH) {
      next.push(page.readUIntLE(node, 6))
      continue
    }
    const data = node + NODE_BYTES + page.readUInt16LE(node + 6)
    const nodeFlags = page.readUInt16LE(node + 4)
    if (nodeFlags & BIG) values.push(Number(page.readBigUInt64LE(data) + page.readBigUInt64LE(data + 16)))
    else if (nodeFlags & SUB) next.push(...rootsIn([page.readBigUInt64LE(data + DATABASE_ROOT)]))
  }
  return { next, values }
}

/** An empty database has no root. */
function rootsIn(roots: readonly bigint[]): number[] {
  return roots.filter((root) => root !== 2n ** 64n - 1n).map(Number)
}
