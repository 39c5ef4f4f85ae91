import { fstatSync, readSync } from 'node:fs'
import {
  BIG,
  BIG_BYTES,
  BRANCH,
  HEADER_BYTES,
  LEAF,
  type Meta,
  NODE_BYTES,
  numberAt,
  OVERFLOW,
  PAGE,
  SUB,
  TREE_BYTES,
  type Tree,
  treeAt,
} from './page-format.ts'

/** Deeper than any tree that fits on a disk. */
const MAX_DEPTH = 32
const FREE_LIST = 'the list of free pages'
const LIST_OF_DATABASES = 'the list of databases'
const CUT_SHORT = 'pages that are in use are missing at its end'

/** What is wrong with the pages of a file; completes "it is damaged: …". */
export class PageFault extends Error {}

/**
 * Fills a buffer with what is from a place of the file on. What the disk does not give would be judged by what the buffer
 * held before.
 *
 * @param number the page that the place is on, for the message.
 * @returns whether the file has as much.
 * @throws {PageFault} when the disk cannot read it.
 */
export function readPage(file: number, number: number, into: Buffer, from: number): boolean {
  try {
    let count: number
    for (let read = 0; read < into.length; read += count) {
      count = readSync(file, into, read, into.length - read, from + read)
      if (count === 0) return false
    }
    return true
  } catch (error) {
    throw new PageFault(`page ${number} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Whether a value that begins so was written under this key of this database. */
export type OwnsKey = (name: string, key: Buffer | string, head: Buffer) => boolean

interface Checks {
  /** The databases that there may be. */
  readonly names: ReadonlySet<string>
  readonly ownsKey: OwnsKey
}

/**
 * Walks through all pages in use, as LMDB would, and holds each against what it must be: LMDB goes by what is written there
 * and does not look. In a page that is damaged it misses what is there, finds what is not, or crashes.
 *
 * What is in the values is not looked at.
 *
 * @param file somebody who reads this transaction must have it open, or its pages may be written anew meanwhile.
 * @throws {PageFault}
 */
export function checkPages(file: number, meta: Meta, { names, ownsKey }: Checks): void {
  const { pageSize, lastPage, transaction } = meta
  const inFile = Math.floor(fstatSync(file).size / pageSize)
  const end = pageSize - HEADER_BYTES
  // More than the file can have would be memory for nothing: the pages that it lacks are free ones at its end.
  if (lastPage > 2 * inFile + 2 ** 20) throw new PageFault(`it cannot have ${lastPage} pages`)
  const taken = new Uint8Array(lastPage + 1).fill(1, 0, 2)
  /** One for each level: those above are still gone by. */
  const buffers: Buffer[] = []
  const databases: [name: string, tree: Tree][] = []

  function take(first: number, count: number, by: string): void {
    if (!(first >= 2 && count >= 1 && first + count - 1 <= lastPage))
      throw new PageFault(`${by} names pages that are not there`)
    for (let page = first; page < first + count; page += 1) {
      if (taken[page]) throw new PageFault(`page ${page} is in use twice, by ${by} as well`)
      taken[page] = 1
    }
  }

  function read(number: number, level: number, flags: number): Buffer {
    buffers[level] ??= Buffer.allocUnsafe(pageSize)
    const page = buffers[level]
    if (!readPage(file, number, page, number * pageSize)) throw new PageFault(CUT_SHORT)
    const isIt =
      numberAt(page, PAGE.number) === number &&
      page.readUInt16LE(PAGE.flags) === flags &&
      page.readUInt16LE(PAGE.pad) === 0 &&
      // LMDB would write into a page that it takes for its own, which is mapped to be read.
      numberAt(page, PAGE.transaction) <= transaction
    if (!isIt) throw new PageFault(`page ${number} is not the one that it should be`)
    return page
  }

  function checkTree(tree: Tree, name: string): void {
    const isFree = name === FREE_LIST
    const isMain = name === LIST_OF_DATABASES
    const of = isFree || isMain ? name : `the database ${name}`
    const compare = isFree ? compareTransactions : Buffer.compare
    const counted = { branches: 0, leaves: 0, overflows: 0, entries: 0 }

    /** The keys below are from `from` on, and before `to`. */
    function visit(number: number, level: number, from?: Buffer, to?: Buffer): void {
      take(number, 1, of)
      const isLeaf = level === tree.depth
      const page = read(number, level, isLeaf ? LEAF : BRANCH)
      const fault = () => new PageFault(`page ${number}, of ${of}, is not as LMDB writes it`)
      const lower = page.readUInt16LE(PAGE.lower)
      const upper = page.readUInt16LE(PAGE.upper)
      const count = lower >> 1
      if ((lower & 1) !== 0 || lower > upper || upper > end || count === 0) throw fault()
      // Each transaction writes it anew.
      if (number === meta.main.root && numberAt(page, PAGE.transaction) !== transaction)
        throw new PageFault('it begins with another transaction than that of its pages')
      let before: Buffer | undefined
      let used = 0
      if (isLeaf) {
        counted.leaves += 1
        counted.entries += count
      } else counted.branches += 1

      const nodeAt = (at: number) => {
        const offset = page.readUInt16LE(HEADER_BYTES + 2 * at)
        if (offset < upper || offset + NODE_BYTES > end) throw fault()
        return HEADER_BYTES + offset
      }
      const keyAt = (node: number) => {
        const key = page.subarray(node + NODE_BYTES, node + NODE_BYTES + page.readUInt16LE(node + 6))
        if (node + NODE_BYTES + page.readUInt16LE(node + 6) > pageSize) throw fault()
        return key
      }

      for (let at = 0; at < count; at += 1) {
        const node = nodeAt(at)
        const key = keyAt(node)
        // The first key of a branch is never compared, and left out.
        if (isLeaf || at > 0) {
          if (key.length === 0 || (isFree && key.length !== 8)) throw fault()
          const isInOrder =
            (before === undefined || compare(before, key) < 0) &&
            (from === undefined || compare(from, key) <= 0) &&
            (to === undefined || compare(key, to) < 0)
          if (!isInOrder) throw new PageFault(`the keys of page ${number}, of ${of}, are not in order`)
          before = key
        }
        if (!isLeaf) {
          used += even(NODE_BYTES + key.length)
          // Six bytes of page number in a branch; in a leaf four of size, and the flags.
          const next = at + 1 < count ? keyAt(nodeAt(at + 1)) : to
          visit(page.readUIntLE(node, 6), level + 1, at === 0 ? from : key, next)
          continue
        }
        const flags = page.readUInt16LE(node + 4)
        const size = page.readUInt32LE(node)
        const data = node + NODE_BYTES + key.length
        const inPage = flags & BIG ? BIG_BYTES : size
        used += even(NODE_BYTES + key.length + inPage)
        if (data + inPage > pageSize || (flags & ~BIG) !== (isMain ? SUB : 0)) throw fault()
        const value = flags & BIG ? bigValue(page, data, size) : page.subarray(data, data + size)
        if (isMain) noteDatabase(key, value)
        else if (isFree) checkFreed(value, size)
        else if (!ownsKey(name, key, value))
          throw new PageFault(
            `a key of page ${number}, of ${of}, is not the one of its record; or a Pawl from before there were checksums wrote it (docs/decisions/0020)`,
          )
      }
      if (used !== end - upper) throw fault()
    }

    /** @returns the beginning of the value, or all of a list of free pages. */
    function bigValue(page: Buffer, at: number, size: number): Buffer {
      const first = numberAt(page, at)
      const count = numberAt(page, at + 16)
      // More where it took the place of a longer one in the same transaction.
      if (count * pageSize < HEADER_BYTES + size) throw new PageFault(`a value of ${of} has another size`)
      take(first, count, of)
      counted.overflows += count
      if (first + count > inFile) throw new PageFault(CUT_SHORT)
      const head = read(first, MAX_DEPTH, OVERFLOW)
      if (!isFree) return head.subarray(HEADER_BYTES)
      const all = Buffer.allocUnsafe(size)
      if (!readPage(file, first, all, first * pageSize + HEADER_BYTES)) throw new PageFault(CUT_SHORT)
      return all
    }

    if (tree.depth > MAX_DEPTH - 1 || (tree.depth === 0) !== (tree.root === undefined))
      throw new PageFault(`${of} has no such depth`)
    if (tree.root !== undefined) visit(tree.root, 1)
    for (const [what, count] of Object.entries(counted))
      if (tree[what as keyof typeof counted] !== count)
        throw new PageFault(`${of} should have ${tree[what as keyof typeof counted]} ${what}, not ${count}`)
  }

  function noteDatabase(key: Buffer, value: Buffer): void {
    // Names end with a zero.
    const name = key.toString('latin1', 0, key.indexOf(0) < 0 ? key.length : key.indexOf(0))
    if (!names.has(name) || value.length !== TREE_BYTES)
      throw new PageFault(`it has a database ${JSON.stringify(name)}, which nobody made`)
    const tree = treeAt(value, 0)
    if (tree.flags !== 0) throw new PageFault(`the database ${name} has flags that it cannot have`)
    databases.push([name, tree])
  }

  /** A list of pages: how many words there are, then pages, zeros, and blocks: their length below zero, their first page. */
  function checkFreed(value: Buffer, size: number): void {
    const words = numberAt(value, 0)
    if (size % 8 !== 0 || 8 * (words + 1) > size) throw new PageFault(`${FREE_LIST} is cut off`)
    for (let at = 1; at <= words; at += 1) {
      const word = Number(value.readBigInt64LE(8 * at))
      if (word === 0) continue
      if (word > 0) take(word, 1, FREE_LIST)
      else if (at < words) {
        at += 1
        take(numberAt(value, 8 * at), -word, FREE_LIST)
      } else throw new PageFault(`${FREE_LIST} ends within a block`)
    }
  }

  checkTree(meta.main, LIST_OF_DATABASES)
  for (const [name, tree] of databases) checkTree(tree, name)
  checkTree(meta.free, FREE_LIST)
}

/** Nodes begin at even places. */
function even(bytes: number): number {
  return bytes + (bytes & 1)
}

function compareTransactions(one: Buffer, other: Buffer): number {
  return numberAt(one, 0) - numberAt(other, 0)
}
