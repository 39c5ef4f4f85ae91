import { generateKeyPair, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { activeOf, LONGEST_LIFE, type Ring, type RingKey, reconciled } from '../tokens/key-ring.ts'
import { type RefreshSecretRing, refreshMacKey } from '../tokens/refresh-token.ts'
import { readSigningKey, type SigningKey, type SigningKeys } from '../tokens/signing-key.ts'
import { exists, isLoose, KeyFileError, readText, requirePrivate, statOf } from './files.ts'
import { readRingFile, serialise } from './ring-file.ts'

/*
 * KEYS_DIR/signing/NAME.pem      RSA private keys, PKCS #8
 * KEYS_DIR/refresh/ID.key        secrets of 32 bytes behind refresh tokens
 * KEYS_DIR/USE/ring.N.json       the state of each, see ring-file.ts
 * KEYS_DIR/USE/retired/          the files of retired keys, which nothing reads
 *
 * Before the first ring.N.json, KEYS_DIR/USE/active names the key in use; a folder of one key needs none.
 */
export const KEY_USES = ['signing', 'refresh'] as const
export type KeyUse = (typeof KEY_USES)[number]

const OURS = [...KEY_USES, 'README.md']
const ACTIVE = 'active'
const SECRET_BYTES = 32
const SECRET_FILE = /^([0-9a-f]{8})\.key$/
/** Of either alphabet, padded or not. */
const SECRET = /^[A-Za-z0-9_+/-]{43}=?$/
const KEY_FILE: Readonly<Record<KeyUse, RegExp>> = { signing: /^[^.].*\.pem$/, refresh: SECRET_FILE }

/** Reading goes on as long as others write; they are done in a moment. */
const READINGS = 10
const READING_PAUSE_MS = 20

/** All of KEYS_DIR that is in use. */
export interface Keys {
  readonly signing: SigningKeys
  readonly refresh: RefreshSecretRing
  /** When the active signing key began to sign, in milliseconds since 1970; `undefined` where no ring file says so. */
  readonly signsSince: number | undefined
}

/** A key as it is in its file. */
export interface KeyFile {
  /** The kid of a signing key, the id of a secret. */
  readonly id: string
  /** The file's name. */
  readonly name: string
  readonly content: SigningKey | Buffer
}

/** The keys of one use as they are in KEYS_DIR at one moment. */
export interface KeyFolder {
  /** KEYS_DIR/USE. */
  readonly home: string
  /** The number of the ring's file; 0 where there is none yet. */
  readonly revision: number
  /** What that file says. */
  readonly written: Ring
  /** What is so: the file, and the keys that are there. */
  readonly ring: Ring
  /** By name. */
  readonly files: readonly KeyFile[]
}

/**
 * Makes the keys of KEYS_DIR, at the very first start, when it holds none at all.
 *
 * @throws {KeyFileError} when the folder holds other things and is open to others: it is no place for keys.
 */
export async function ensureKeys(folder: string): Promise<void> {
  for (const use of KEY_USES) if (await exists(join(folder, use))) return
  for (const use of KEY_USES) await beginRing(folder, use)
}

/**
 * Reads KEYS_DIR, as it was at one moment.
 *
 * @throws {KeyFileError} when something is missing, unreadable, too weak, or open to other users of the machine.
 */
export async function loadKeys(folder: string): Promise<Keys> {
  return (await loadKeysOf(folder)).keys
}

/** As `loadKeys`, with what to tell a later state of the files by; see {@link fingerprintOf}. */
export async function loadKeysOf(folder: string): Promise<{ keys: Keys; fingerprint: string }> {
  const { value: keys, fingerprint } = await atOneMoment(folder, () => readKeys(folder))
  return { keys, fingerprint }
}

/** What is read while nobody writes. Half of a change may be amiss, so an error counts only then, too. */
async function atOneMoment<T>(
  folder: string,
  read: () => Promise<T>,
): Promise<{ value: T; fingerprint: string }> {
  for (let reading = 1; ; reading += 1) {
    const fingerprint = await fingerprintOf(folder)
    const [result] = await Promise.allSettled([read()])
    if (fingerprint === (await fingerprintOf(folder)) || reading === READINGS) {
      if (result.status === 'rejected') throw result.reason
      return { value: result.value, fingerprint }
    }
    await sleep(READING_PAUSE_MS)
  }
}

/** A text that is another when any file of the keys has been written, renamed, opened or closed to others. */
export async function fingerprintOf(folder: string): Promise<string> {
  const parts: string[] = []
  const note = async (name: string) => {
    const stats = await statOf(join(folder, name))
    parts.push(
      stats
        ? `${name} ${stats.mode} ${stats.isFile() ? `${stats.ino} ${stats.size} ${stats.ctimeMs}` : ''}`
        : name,
    )
  }
  await note('')
  for (const use of KEY_USES) {
    await note(use)
    const names = (await exists(join(folder, use))) ? await readdir(join(folder, use)) : []
    for (const name of names.filter((name) => !name.startsWith('.')).sort()) await note(join(use, name))
  }
  return parts.join('\n')
}

async function readKeys(folder: string): Promise<Keys> {
  if (!(await exists(folder)))
    throw new KeyFileError(folder, 'is missing', 'Start the server once, or name it in KEYS_DIR.')
  await requirePrivate(folder, 'chmod 700')
  const signing = await readFilesOf(folder, 'signing', Date.now(), 0)
  const refresh = await readFilesOf(folder, 'refresh', Date.now(), 0)
  const published = inUse(signing).map(({ content }) => content as SigningKey)
  const active = published.find(({ kid }) => kid === activeOf(signing.ring).id)
  const macKeys = new Map(inUse(refresh).map(({ id, content }) => [id, content as Buffer]))
  if (!active) throw activeMissing(signing)
  const activeId = activeOf(refresh.ring).id
  if (!macKeys.has(activeId)) throw activeMissing(refresh)
  return {
    signing: { active, published },
    refresh: { activeId, macKeys },
    signsSince: signing.revision > 0 ? activeOf(signing.ring).since : undefined,
  }
}

/** The keys that are published, or that verify: each once, since a copy under another name is the same key. */
function inUse({ ring, files }: KeyFolder): KeyFile[] {
  const retired = new Set(ring.filter(({ state }) => state === 'retired').map(({ id }) => id))
  return files.filter(
    ({ id }, index) => !retired.has(id) && files.findIndex((other) => other.id === id) === index,
  )
}

/**
 * Reads the keys of one use, as they were at one moment.
 *
 * @param now milliseconds since 1970, from which on keys that no ring file has count as known.
 * @param life how long tokens live that are made with the active key, in seconds.
 * @throws {KeyFileError}
 */
export async function readKeyFolder(
  folder: string,
  use: KeyUse,
  now: number,
  life: number,
): Promise<KeyFolder> {
  if (await exists(folder)) await requirePrivate(folder, 'chmod 700')
  return (await atOneMoment(folder, () => readFilesOf(folder, use, now, life))).value
}

async function readFilesOf(folder: string, use: KeyUse, now: number, life: number): Promise<KeyFolder> {
  const home = join(folder, use)
  if (!(await exists(home))) {
    throw new KeyFileError(
      home,
      'is missing',
      `Put it back from a backup; or begin with a new one: pawl keys generate --use ${use}.`,
    )
  }
  await requirePrivate(home, 'chmod 700')
  const names = (await readdir(home)).filter((name) => KEY_FILE[use].test(name)).sort()
  const files: KeyFile[] = []
  for (const name of names) {
    const path = join(home, name)
    await requirePrivate(path, 'chmod 600')
    files.push({ name, ...(await readKeyFile(use, path, name)) })
  }
  const present = [...new Set(files.map(({ id }) => id))]
  const { revision, ring: written } = await readRingFile(home)
  const known = revision > 0 ? written : await ringWithoutFile(home, use, files, now, life)
  return { home, revision, written, ring: reconciled(known, present, now, { life }), files }
}

async function readKeyFile(use: KeyUse, path: string, name: string): Promise<Omit<KeyFile, 'name'>> {
  const text = await readText(path)
  if (use === 'signing') {
    try {
      const key = await readSigningKey(text)
      return { id: key.kid, content: key }
    } catch (error) {
      const mend = 'Put a good key in its place, or take the file away.'
      throw new KeyFileError(path, (error as Error).message, mend)
    }
  }
  const secret = secretIn(text)
  if (!secret) {
    const what = `does not hold ${SECRET_BYTES} bytes in base64url`
    throw new KeyFileError(path, what, 'Put it back from a backup.')
  }
  return { id: SECRET_FILE.exec(name)?.[1] ?? '', content: refreshMacKey(secret) }
}

/** The secret that the text of a file holds, white space around it aside; `undefined` where it holds none. */
export function secretIn(text: string): Buffer | undefined {
  // Node skips what is not base64, so that a damaged file would be the file of another secret.
  return SECRET.test(text.trim()) ? Buffer.from(text.trim(), 'base64url') : undefined
}

/**
 * The ring of a folder that no ring file was ever written in. Of its other keys, one that is newer than the word of
 * which is active was never used; any other may have been.
 */
async function ringWithoutFile(
  home: string,
  use: KeyUse,
  files: readonly KeyFile[],
  now: number,
  life: number,
): Promise<Ring> {
  const path = join(home, ACTIVE)
  const pointer = await statOf(path)
  const ids = new Set(files.map(({ id }) => id))
  const [only] = ids
  const activeId = !pointer && only !== undefined && ids.size === 1 ? only : (await readText(path)).trim()
  if (!ids.has(activeId)) {
    throw new KeyFileError(
      path,
      `names ${JSON.stringify(activeId.slice(0, 64))}, and no key file beside it is that one`,
      'Write into it which of them is in use.',
    )
  }
  const ring: RingKey[] = []
  for (const { id, name } of files) {
    if (ring.some((key) => key.id === id)) continue
    const { mtimeMs } = await stat(join(home, name))
    const state = id === activeId ? 'active' : pointer && mtimeMs > pointer.mtimeMs ? 'next' : 'retiring'
    const longest = { next: 0, active: life, retiring: LONGEST_LIFE[use] }[state]
    ring.push({ id, state, published: now, since: now, life: longest })
  }
  return ring
}

/** A new key that is in no file yet. */
export interface NewKey {
  readonly id: string
  readonly name: string
  readonly text: string
}

/** Makes a key: for signing an RSA key of 2048 bits, behind refresh tokens a secret of 32 bytes. */
export async function newKey(use: KeyUse): Promise<NewKey> {
  if (use === 'refresh') {
    const id = randomBytes(4).toString('hex')
    return { id, name: `${id}.key`, text: `${randomBytes(SECRET_BYTES).toString('base64url')}\n` }
  }
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const { kid } = await readSigningKey(text)
  // On a command line it would pass for an option.
  return kid.startsWith('-') ? newKey(use) : { id: kid, name: `${kid}.pem`, text }
}

/**
 * Makes the first key of a use, active at once, in one step; or nothing where there is one already. So servers that are
 * started at once on an empty folder agree, and leave no key that nobody asked for.
 *
 * @returns the key's id, or `undefined` where another process was first.
 */
export async function beginRing(folder: string, use: KeyUse): Promise<string | undefined> {
  if (!(await exists(folder))) await mkdir(folder, { recursive: true, mode: 0o700 })
  // A folder that has just been checked out or mounted is open to others, and may be closed while it is ours alone.
  if (isLoose(await stat(folder))) {
    const others = (await readdir(folder)).filter((name) => !name.startsWith('.') && !OURS.includes(name))
    if (others.length > 0) await requirePrivate(folder, 'chmod 700')
    await chmod(folder, 0o700)
  }
  const { id, name, text } = await newKey(use)
  const now = Date.now()
  const ring: Ring = [{ id, state: 'active', published: now, since: now, life: 0 }]
  const draft = await mkdtemp(join(folder, `.${use}-`))
  await writeFile(join(draft, name), text, { mode: 0o600, flush: true })
  await writeFile(join(draft, 'ring.1.json'), serialise(ring), { mode: 0o600, flush: true })
  const home = join(folder, use)
  try {
    await rename(draft, home)
    return id
  } catch (error) {
    await rm(draft, { recursive: true })
    // Another server was first; its key is as good.
    if (await exists(home)) return undefined
    throw error
  }
}

function activeMissing({ home, revision, ring }: KeyFolder): KeyFileError {
  return new KeyFileError(
    join(home, `ring.${revision}.json`),
    `says that ${activeOf(ring).id} is active, and no key file beside it is that one`,
    'Put the file back from a backup; or begin anew, as docs/keys.md says.',
  )
}
