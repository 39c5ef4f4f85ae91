import type { Random } from '../fuzz/random.ts'

/*
 * Ways to damage one page of an LMDB file. Written without the reader in src, which is what is tested.
 */

const HEADER = 24
const BRANCH = 1
const LEAF = 2

/** One page, made into what it should not be. */
export interface PageDamage {
  readonly page: number
  readonly kind: string
  readonly bytes: Buffer
}

/** @returns `undefined` where this page has no such place. */
type Way = (page: Buffer, random: Random, other: Buffer) => Buffer | undefined

const isBranch = (page: Buffer) => (page.readUInt16LE(18) & BRANCH) !== 0
const isTree = (page: Buffer) => (page.readUInt16LE(18) & (BRANCH | LEAF)) !== 0
const nodes = (page: Buffer) => page.readUInt16LE(20) >> 1
const slot = (at: number) => HEADER + 2 * at
const nodeAt = (page: Buffer, at: number) => HEADER + page.readUInt16LE(slot(at))
const keySize = (page: Buffer, node: number) => page.readUInt16LE(node + 6)

function flip(page: Buffer, at: number, random: Random): void {
  page[at] = page[at]! ^ (1 << random.below(8))
}

/** Does it to one node. */
const atNode =
  (change: (page: Buffer, node: number, random: Random, at: number) => unknown): Way =>
  (page, random) => {
    if (!isTree(page) || nodes(page) === 0) return undefined
    const at = random.below(nodes(page))
    return change(page, nodeAt(page, at), random, at) === false ? undefined : page
  }

const WAYS: Readonly<Record<string, Way>> = {
  zeroed: (page) => page.fill(0),
  'random octets': (page, random) => {
    for (let at = 0; at < page.length; at += 1) page[at] = random.below(256)
    return page
  },
  'second half zeroed': (page) => page.fill(0, page.length / 2),
  'a sector zeroed': (page, random) => {
    const at = 512 * random.below(page.length / 512)
    return page.fill(0, at, at + 512)
  },
  'that of another place': (_, __, other) => Buffer.from(other),
  'that of another place under its own number': (page, _, other) => {
    const copy = Buffer.from(other)
    page.copy(copy, 0, 0, 8)
    return copy
  },
  'another number': (page, random) => {
    flip(page, random.below(3), random)
    return page
  },
  'another transaction': (page, random) => {
    flip(page, 8 + random.below(8), random)
    return page
  },
  'other flags': (page, random) => {
    flip(page, 18, random)
    return page
  },
  'the other kind of page': (page) => {
    if (!isTree(page)) return undefined
    page.writeUInt16LE(isBranch(page) ? LEAF : BRANCH, 18)
    return page
  },
  'a node less': (page) => {
    if (!isTree(page) || nodes(page) < 2) return undefined
    page.writeUInt16LE(page.readUInt16LE(20) - 2, 20)
    return page
  },
  'a node more': (page) => {
    if (!isTree(page)) return undefined
    page.writeUInt16LE(page.readUInt16LE(20) + 2, 20)
    return page
  },
  'another lower bound': (page, random) => {
    flip(page, 20 + random.below(2), random)
    return page
  },
  'another upper bound': (page, random) => {
    flip(page, 22 + random.below(2), random)
    return page
  },
  'a node elsewhere': atNode((page, _, random, at) => {
    page.writeUInt16LE(2 * random.below(0x8000), slot(at))
  }),
  'a node somewhat elsewhere': atNode((page, _, random, at) => flip(page, slot(at), random)),
  'two nodes exchanged': atNode((page, _, random, at) => {
    const other = (at + 1 + random.below(nodes(page) - 1)) % nodes(page)
    if (other === at) return false
    const place = page.readUInt16LE(slot(at))
    page.writeUInt16LE(page.readUInt16LE(slot(other)), slot(at))
    page.writeUInt16LE(place, slot(other))
    return true
  }),
  'a node twice': atNode((page, _, random, at) => {
    const other = random.below(nodes(page))
    if (other === at) return false
    page.writeUInt16LE(page.readUInt16LE(slot(other)), slot(at))
    return true
  }),
  'another child': atNode((page, node, random) => {
    if (!isBranch(page)) return false
    flip(page, node, random)
    return true
  }),
  'a child far away': atNode((page, node) => {
    if (!isBranch(page)) return false
    page.writeUInt16LE(0xffff, node + 2)
    return true
  }),
  'another size of a value': atNode((page, node, random) => {
    if (isBranch(page)) return false
    flip(page, node + random.below(4), random)
    return true
  }),
  'other flags of a node': atNode((page, node, random) => {
    if (isBranch(page)) return false
    flip(page, node + 4, random)
    return true
  }),
  'another size of a key': atNode((page, node, random) => flip(page, node + 6 + random.below(2), random)),
  'another key': atNode((page, node, random) => {
    const size = keySize(page, node)
    if (size === 0) return false
    flip(page, node + 8 + random.below(size), random)
    return true
  }),
  'the end of a key': atNode((page, node) => {
    const size = keySize(page, node)
    if (size === 0) return false
    const at = node + 8 + size - 1
    page[at] = page[at]! ^ 1
    return true
  }),
  'another value': atNode((page, node, random) => {
    if (isBranch(page)) return false
    const at = node + 8 + keySize(page, node)
    const size = Math.min(page.readUInt32LE(node), page.length - at)
    if (size <= 0) return false
    flip(page, at + random.below(size), random)
    return true
  }),
  'a digit more': atNode((page, node, random) => {
    if (isBranch(page)) return false
    const from = node + 8 + keySize(page, node)
    const to = Math.min(from + page.readUInt32LE(node), page.length)
    // A positive fixint of MessagePack, or a digit or letter of a text: what is then read is sound.
    for (let tries = 0; tries < 50 && to > from; tries += 1) {
      const at = from + random.below(to - from)
      if (page[at]! >= 0x7f || page[at]! < 0x02) continue
      page[at] = page[at]! ^ 1
      return true
    }
    return false
  }),
  'an octet anywhere': (page, random) => {
    flip(page, random.below(page.length), random)
    return page
  },
}

/** Ways to damage what begins the file, which is another page's affair. */
const META_WAYS: Readonly<Record<string, Way>> = {
  zeroed: (page) => page.fill(0),
  'random octets': WAYS['random octets']!,
  'another transaction': (page, random) => {
    flip(page, 152 + random.below(2), random)
    return page
  },
  'another root': (page, random) => {
    flip(page, 136 + random.below(2), random)
    return page
  },
  'another list of free pages': (page, random) => {
    flip(page, 88 + random.below(2), random)
    return page
  },
  'another last page': (page, random) => {
    flip(page, 144 + random.below(4), random)
    return page
  },
  'another size of the map': (page, random) => {
    flip(page, 40 + random.below(8), random)
    return page
  },
  'another size of pages': (page, random) => {
    flip(page, 48 + random.below(2), random)
    return page
  },
  'other flags': (page, random) => {
    flip(page, 52 + random.below(2), random)
    return page
  },
  'flags of the databases': (page, random) => {
    flip(page, 100 + random.below(2), random)
    return page
  },
  'an octet anywhere': (page, random) => {
    flip(page, 24 + random.below(136), random)
    return page
  },
}

/** LMDB's own, which the first page says: that of the file system may be another. */
export function pageSizeOf(file: Buffer): number {
  return file.readUInt32LE(48)
}

/** The keys of the records on a page. */
export function recordsOn(page: Buffer): string[] {
  if ((page.readUInt16LE(18) & LEAF) === 0) return []
  return Array.from({ length: nodes(page) }, (_, at) => {
    const node = nodeAt(page, at)
    return page.toString('latin1', node + 8, node + 8 + keySize(page, node))
  })
}

/** The pages that hold something, as a disk sees it: the two that begin the file, and those that say what they are. */
export function pagesOf(file: Buffer, pageSize: number): number[] {
  return Array.from({ length: file.length / pageSize }, (_, page) => page).filter((page) => {
    const flags = file.readUInt16LE(page * pageSize + 18)
    return page < 2 || (flags > 0 && flags < 8 && Number(file.readBigUInt64LE(page * pageSize)) === page)
  })
}

/** Every way to damage one page. */
export function damagesTo(
  file: Buffer,
  pageSize: number,
  page: number,
  others: readonly number[],
  random: Random,
): PageDamage[] {
  const content = (number: number) => file.subarray(number * pageSize, (number + 1) * pageSize)
  return Object.entries(page < 2 ? META_WAYS : WAYS).flatMap(([kind, way]): PageDamage[] => {
    const other = content(others[random.below(others.length)]!)
    const bytes = way(Buffer.from(content(page)), random, other)
    return bytes && !bytes.equals(content(page)) ? [{ page, kind, bytes }] : []
  })
}
