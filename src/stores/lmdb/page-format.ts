/*
 * LMDB's format, as the lmdb package writes it: page headers have the transaction in them, unlike those of plain LMDB, and
 * lists of free pages have blocks in them. Numbers are little-endian; Node runs on no other machine that the package is
 * built for.
 */

export const HEADER_BYTES = 24
export const NODE_BYTES = 8
/** What stands before a value that is on pages of its own names them. */
export const BIG_BYTES = 24
export const PAGE = { number: 0, transaction: 8, pad: 16, flags: 18, lower: 20, upper: 22 }
export const BRANCH = 0x01
export const LEAF = 0x02
export const OVERFLOW = 0x04
/** Flags of a leaf's node: the value is on pages of its own; the value is a database. */
export const BIG = 0x01
export const SUB = 0x02
/** The only flag of the list of free pages: its keys are transactions. */
const INTEGER_KEYS = 0x08

const MAGIC = 0xbeefc0de
const VERSION = 2
/** Of a meta page. */
export const META = {
  magic: 24,
  version: 28,
  pageSize: 48,
  free: 48,
  main: 96,
  lastPage: 144,
  transaction: 152,
}
export const META_BYTES = 160
export const TREE_BYTES = 48
const NO_ROOT = 2n ** 64n - 1n

/** The record of a tree of pages. */
export interface Tree {
  /** `undefined` for an empty one. */
  readonly root: number | undefined
  readonly flags: number
  readonly depth: number
  readonly branches: number
  readonly leaves: number
  /** Pages of the values that are on pages of their own. */
  readonly overflows: number
  readonly entries: number
}

/** Where everything begins, as one transaction left it. */
export interface Meta {
  readonly pageSize: number
  readonly lastPage: number
  readonly transaction: number
  /** The pages that are free, by the transaction that they were freed in. */
  readonly free: Tree
  /** The databases, by name. */
  readonly main: Tree
}

/** @returns `undefined` when this is none. */
export function metaOf(page: Buffer): Meta | undefined {
  if (page.length < META_BYTES) return undefined
  if (page.readUInt32LE(META.magic) !== MAGIC || page.readUInt32LE(META.version) !== VERSION) return undefined
  const pageSize = page.readUInt32LE(META.pageSize)
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined
  const free = treeAt(page, META.free)
  const main = treeAt(page, META.main)
  // With any other flag LMDB ends the process, as soon as it opens the file or later.
  if (free.flags !== INTEGER_KEYS || main.flags !== 0) return undefined
  return {
    pageSize,
    lastPage: numberAt(page, META.lastPage),
    transaction: numberAt(page, META.transaction),
    free,
    main,
  }
}

export function treeAt(page: Buffer, at: number): Tree {
  const root = page.readBigUInt64LE(at + 40)
  return {
    root: root === NO_ROOT ? undefined : Number(root),
    flags: page.readUInt16LE(at + 4),
    depth: page.readUInt16LE(at + 6),
    branches: numberAt(page, at + 8),
    leaves: numberAt(page, at + 16),
    overflows: numberAt(page, at + 24),
    entries: numberAt(page, at + 32),
  }
}

/** Eight bytes; what is larger than any number of ours stays larger. */
export function numberAt(page: Buffer, at: number): number {
  return page.readUInt32LE(at) + 2 ** 32 * page.readUInt32LE(at + 4)
}
