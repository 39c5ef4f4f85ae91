import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  activeOf,
  nextOf,
  nextStep,
  promotableAt,
  type Ring,
  type RingKey,
  type RingSettings,
  retirableAt,
  type Step,
  withNext,
  withPromoted,
  withRetired,
} from '../tokens/key-ring.ts'
import { DRAFT, exists, KeyFileError, syncFolder, writeDraft } from './files.ts'
import { beginRing, type KeyFolder, newKey, readKeyFolder } from './key-files.ts'
import { writeRingFile } from './ring-file.ts'
import type { RingName } from './rings.ts'

const RETIRED = 'retired'

/** Each turn either ends, or finds that another process has taken a step; nobody takes so many at once. */
const MAX_TURNS = 100
const DRAFT_LIFE_MS = 3_600_000

/** The ring that is to be rotated: where it is, and what it goes by. */
export interface RingOptions {
  /** KEYS_DIR. */
  readonly folder: string
  readonly ring: RingName
  readonly settings: RingSettings
  /** Milliseconds since 1970. */
  readonly clock?: () => number
}

/** A step that was taken. */
export interface Taken {
  readonly kind: 'generate' | 'promote' | 'retire'
  readonly id: string
}

/** Why a step was not taken: nothing was changed. */
export type Refusal =
  | { readonly refused: 'unknown' | 'active' | 'retired' }
  /** It will be safe at `until`, in milliseconds since 1970. */
  | { readonly refused: 'too_soon'; readonly until: number }

/** The ring as it is. @throws {KeyFileError} */
export async function readRing(options: RingOptions): Promise<Ring> {
  return (await look(options)).ring
}

/**
 * Takes every step that is due, and none that is not. Several processes at once take each step once.
 *
 * @returns what this one did, and what comes next.
 * @throws {KeyFileError} or the system's error when a file cannot be read or written.
 */
export async function rotate(
  options: RingOptions,
): Promise<{ taken: Taken[]; next: Step & { kind: 'wait' } }> {
  const { settings, clock = Date.now } = options
  const taken: Taken[] = []
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const folder = await look(options)
    const { ring } = folder
    const now = clock()
    const step = nextStep(ring, now, settings)
    if (step.kind === 'wait') {
      // What was not entered yet must be: its time counts from then on.
      if (!(await write(folder, ring))) continue
      await tidy(folder)
      return { taken, next: step }
    }
    if (step.kind === 'generate') {
      const id = await addKey(options, folder, now)
      if (id !== undefined) taken.push({ kind: 'generate', id })
    } else {
      const { kind, id } = step
      const changed =
        kind === 'promote' ? withPromoted(ring, id, now, settings) : withRetired(ring, [id], now)
      if (await write(folder, changed)) taken.push({ kind, id })
    }
  }
  throw tooBusy(options)
}

/**
 * Adds a key, which is published or verifies and is not used yet; unless it is the first.
 *
 * @returns its id.
 * @throws {KeyFileError}
 */
export async function generate(options: RingOptions): Promise<string> {
  const { folder, ring, clock = Date.now } = options
  if (!(await exists(join(folder, ring)))) {
    const first = await beginRing(folder, ring)
    if (first !== undefined) return first
  }
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const id = await addKey(options, await look(options), clock())
    if (id !== undefined) return id
  }
  throw tooBusy(options)
}

/**
 * Makes a key the active one: the `next` that has been known the longest, unless `id` names another. One that is
 * retiring can be taken back.
 *
 * @param force although not everybody knows it yet.
 * @throws {KeyFileError}
 */
export async function promote(
  options: RingOptions,
  id: string | undefined,
  force: boolean,
): Promise<Taken | Refusal> {
  const { settings } = options
  return change(options, ({ ring, files }, now) => {
    const key = id === undefined ? nextOf(ring) : ring.find((key) => key.id === id)
    if (!key) return { refused: 'unknown' }
    if (key.state === 'active' || key.state === 'retired') return { refused: key.state }
    // It was entered a moment ago, and its file is still to come, if it ever does.
    if (files.every(({ id }) => id !== key.id)) return { refused: 'unknown' }
    const until = promotableAt(key, settings)
    if (until > now && !force) return { refused: 'too_soon', until }
    return { kind: 'promote', id: key.id, ring: withPromoted(ring, key.id, now, settings) }
  })
}

/**
 * Takes a key out of the ring.
 *
 * @param force although tokens that were made with it may live.
 * @throws {KeyFileError}
 */
export async function retire(options: RingOptions, id: string, force: boolean): Promise<Taken | Refusal> {
  return change(options, ({ ring }, now) => {
    const key = ring.find((key) => key.id === id)
    if (!key) return { refused: 'unknown' }
    if (key.state === 'active' || key.state === 'retired') return { refused: key.state }
    // A key that was never used has no tokens.
    const until = key.state === 'next' ? now : retirableAt(key)
    if (until > now && !force) return { refused: 'too_soon', until }
    return { kind: 'retire', id, ring: withRetired(ring, [id], now) }
  })
}

/**
 * Takes leaked keys out of the ring at once, whatever that breaks: the one that is named, or all of them, since what can
 * read one file of a folder can read the others. Where the active one is among them, a new one is active at once; for a
 * single one the key that everybody knows already, else one that nobody else can have seen.
 *
 * @throws {KeyFileError}
 */
export async function replaceLeaked(
  options: RingOptions,
  id: string | undefined,
): Promise<{ taken: Taken[] } | Refusal> {
  const { settings, clock = Date.now } = options
  const taken: Taken[] = []
  const { ring } = await look(options)
  const isIn = ({ state }: RingKey) => state !== 'retired'
  const leaked = id === undefined ? ring.filter(isIn).map((key) => key.id) : [id]
  const named = ring.find((key) => key.id === id)
  if (id !== undefined && !named) return { refused: 'unknown' }
  if (named?.state === 'retired') return { refused: 'retired' }

  const made: string[] = []
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    // Others may do the same at once: which key is active, and which can be, is as it is now.
    const folder = await look(options)
    const now = clock()
    let changed = folder.ring
    let heir: string | undefined
    if (leaked.includes(activeOf(folder.ring).id)) {
      const present = new Set(folder.files.map(({ id }) => id))
      const isFit = (key: RingKey) =>
        present.has(key.id) && (id === undefined ? made.includes(key.id) : key.id !== id)
      heir = nextOf(folder.ring.filter(isFit))?.id
      if (heir === undefined) {
        const newId = await generate(options)
        made.push(newId)
        taken.push({ kind: 'generate', id: newId })
        continue
      }
      changed = withPromoted(changed, heir, now, settings)
    }
    const gone = leaked.filter((id) => folder.ring.some((key) => key.id === id && isIn(key)))
    if (!(await write(folder, withRetired(changed, gone, now)))) continue
    await tidy(await look(options))
    if (heir !== undefined) taken.push({ kind: 'promote', id: heir })
    return { taken: [...taken, ...gone.map((id) => ({ kind: 'retire' as const, id }))] }
  }
  throw tooBusy(options)
}

async function change(
  options: RingOptions,
  decide: (folder: KeyFolder, now: number) => (Taken & { readonly ring: Ring }) | Refusal,
): Promise<Taken | Refusal> {
  const { clock = Date.now } = options
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const folder = await look(options)
    const decision = decide(folder, clock())
    if ('refused' in decision) return decision
    const { kind, id, ring } = decision
    if (!(await write(folder, ring))) continue
    await tidy(await look(options))
    return { kind, id }
  }
  throw tooBusy(options)
}

function look({ folder, ring, settings, clock = Date.now }: RingOptions): Promise<KeyFolder> {
  return readKeyFolder(folder, ring, clock(), settings.life)
}

/** @returns false when another process has changed the ring meanwhile. */
async function write({ home, revision, written }: KeyFolder, ring: Ring): Promise<boolean> {
  const isSame = revision > 0 && JSON.stringify(written) === JSON.stringify(ring)
  return isSame || writeRingFile(home, revision, ring)
}

/**
 * Adds a next key. Its file gets its name when the ring has it: of several processes only one adds one, and the others
 * leave nothing behind.
 *
 * @returns its id, or `undefined` when another process has changed the ring meanwhile.
 */
async function addKey({ ring }: RingOptions, folder: KeyFolder, now: number): Promise<string | undefined> {
  const { id, name, text } = await newKey(ring)
  const draft = await writeDraft(folder.home, text)
  try {
    if (!(await write(folder, withNext(folder.ring, id, now)))) return undefined
    await rename(draft, join(folder.home, name))
    await syncFolder(folder.home)
    return id
  } finally {
    await rm(draft, { force: true })
  }
}

/** Moves the files of retired keys aside, and clears away what processes left that ended in the middle of a step. */
async function tidy({ home, ring, files, revision }: KeyFolder): Promise<void> {
  const retired = new Set(ring.filter(({ state }) => state === 'retired').map(({ id }) => id))
  for (const { name } of files.filter(({ id }) => retired.has(id))) {
    await mkdir(join(home, RETIRED), { recursive: true, mode: 0o700 })
    await rename(join(home, name), join(home, RETIRED, name)).catch(unlessMissing)
  }
  // Since there is a ring file, it says nothing.
  if (revision > 0) await rm(join(home, 'active'), { force: true })
  for (const name of (await readdir(home)).filter((name) => name.startsWith(DRAFT))) {
    const path = join(home, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (mtimeMs < Date.now() - DRAFT_LIFE_MS) await rm(path, { force: true })
  }
}

/** Another process did the same. */
function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function tooBusy({ folder, ring }: RingOptions): KeyFileError {
  return new KeyFileError(join(folder, ring), 'is being changed by others again and again', 'Try again.')
}
