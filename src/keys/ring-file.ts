import { link, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyState, Ring, RingKey } from '../tokens/key-ring.ts'
import { KeyFileError, readText, syncFolder, writeDraft } from './files.ts'

/*
 * ring.N.json: the states and times of a ring's keys. The highest N counts.
 *
 * A change writes the next number, and only one process can: that is the whole agreement between servers and commands on
 * one KEYS_DIR. There is no lock that could be left behind (docs/decisions/0009-key-rings.md).
 */
const FILE = /^ring\.([1-9]\d{0,8})\.json$/
const STATES: readonly KeyState[] = ['next', 'active', 'retiring', 'retired']

/** The last ones are kept, to see what happened. */
const KEPT = 10

const nameOf = (revision: number) => `ring.${revision}.json`

/** A ring as it was written, and the number of its file; no keys and 0 where none has been written yet. */
export interface WrittenRing {
  readonly revision: number
  readonly ring: Ring
}

/** @throws {KeyFileError} when the file cannot be read or is no ring. */
export async function readRingFile(home: string): Promise<WrittenRing> {
  const revision = Math.max(0, ...(await revisionsIn(home)))
  if (revision === 0) return { revision, ring: [] }
  const path = join(home, nameOf(revision))
  const text = await readText(path)
  try {
    return { revision, ring: parseRing(text) }
  } catch {
    throw new KeyFileError(
      path,
      'is no list of keys with their states and times',
      `Put it back from a backup, or take it away: the file of the number before it counts then.`,
    )
  }
}

/**
 * Writes the ring that follows revision `from`.
 *
 * @returns false when another process has written one meanwhile; nothing is changed then.
 * @throws {KeyFileError} when the file system has no hard links.
 */
export async function writeRingFile(home: string, from: number, ring: Ring): Promise<boolean> {
  const draft = await writeDraft(home, serialise(ring))
  try {
    // Unlike a renaming, it fails where the name is taken; like one, the whole file is there or none of it.
    await link(draft, join(home, nameOf(from + 1)))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS' || code === 'EPERM') {
      throw new KeyFileError(
        home,
        `is on a file system that takes no hard links (${code})`,
        'Keep it on one that does.',
      )
    }
    throw error
  } finally {
    await rm(draft, { force: true })
  }
  await syncFolder(home)
  const revisions = await revisionsIn(home)
  const isLast = Math.max(...revisions) === from + 1
  // After a very long pause of this process, the number may have been free because it was cleared away.
  if (!isLast && from > 0 && !revisions.includes(from)) return false
  for (const old of revisions.filter((revision) => revision <= from + 1 - KEPT)) {
    await rm(join(home, nameOf(old)), { force: true })
  }
  return true
}

/** The file's text for a ring. */
export function serialise(ring: Ring): string {
  const keys = ring.map((key) => ({
    ...key,
    published: new Date(key.published).toISOString(),
    since: new Date(key.since).toISOString(),
  }))
  return `${JSON.stringify({ keys }, null, 2)}\n`
}

async function revisionsIn(home: string): Promise<number[]> {
  return (await readdir(home)).flatMap((name) => {
    const match = FILE.exec(name)
    return match ? [Number(match[1])] : []
  })
}

/** @throws when it is not what `serialise` writes. */
export function parseRing(text: string): Ring {
  const { keys } = JSON.parse(text) as { keys: Record<keyof RingKey, unknown>[] }
  const ring = keys.map(({ id, state, published, since, life }): RingKey => {
    const found = STATES.find((known) => known === state)
    if (typeof id !== 'string' || !found || !isLife(life)) throw new TypeError()
    return { id, state: found, published: timeOf(published), since: timeOf(since), life }
  })
  const isOne = new Set(ring.map(({ id }) => id)).size === ring.length
  if (!isOne || ring.filter(({ state }) => state === 'active').length !== 1) throw new TypeError()
  return ring
}

/** JSON has 1e999, which would be written as null. */
function isLife(value: unknown): value is number {
  return Number.isFinite(value) && Number(value) >= 0
}

function timeOf(text: unknown): number {
  const time = typeof text === 'string' ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw new TypeError()
  return time
}
