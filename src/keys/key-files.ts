import { generateKeyPair, type KeyObject, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  activeOf,
  LONGEST_LIFE,
  newRing,
  type Ring,
  type RingKey,
  reconciled,
  signingRingSettings,
  usableFrom,
} from '../tokens/key-ring.ts'
import { type RefreshSecretRing, refreshMacKey } from '../tokens/refresh-token.ts'
import {
  readSigningKey,
  type Signer,
  type SigningAlg,
  type SigningKey,
  type SigningKeys,
  signingKeysOf,
} from '../tokens/signing-key.ts'
import { exists, isLoose, KeyFileError, readText, requirePrivate, statOf } from './files.ts'
import { readRingFile, serialise } from './ring-file.ts'
import { algOfRing, RING_NAMES, type RingName, ringsIn, signingRingOf, useOfRing } from './rings.ts'

/*
 * KEYS_DIR/signing/NAME.pem         RSA private keys, PKCS #8, for RS256
 * KEYS_DIR/signing-es256/NAME.pem   private keys on P-256, for ES256
 * KEYS_DIR/signing-eddsa/NAME.pem   Ed25519 private keys, for EdDSA
 * KEYS_DIR/refresh/ID.key           secrets of 32 bytes behind refresh tokens
 * KEYS_DIR/RING/ring.N.json         the state of each, see ring-file.ts
 * KEYS_DIR/RING/retired/            the files of retired keys, which nothing reads
 *
 * Before the first ring.N.json, KEYS_DIR/RING/active names the key in use; a folder of one key needs none.
 */
const OURS = [...RING_NAMES, 'README.md']
const ACTIVE = 'active'
const SECRET_BYTES = 32
const SECRET_FILE = /^([0-9a-f]{8})\.key$/
/** Of either alphabet, padded or not. */
const SECRET = /^[A-Za-z0-9_+/-]{43}=?$/
const PEM_FILE = /^[^.].*\.pem$/

/** Reading goes on as long as others write; they are done in a moment. */
const READINGS = 10
const READING_PAUSE_MS = 20

/** All of KEYS_DIR that is in use. */
export interface Keys {
  readonly signing: SigningKeys
  readonly refresh: RefreshSecretRing
  /** The active key of every algorithm's ring, those included that do not sign yet. */
  readonly signers: readonly Signer[]
}

/** A key as it is in its file. */
export interface KeyFile {
  /** The kid of a signing key, the id of a secret. */
  readonly id: string
  /** The file's name. */
  readonly name: string
  readonly content: SigningKey | Buffer
}

/** The keys of one ring as they are in KEYS_DIR at one moment. */
export interface KeyFolder {
  /** KEYS_DIR/RING. */
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

/** What signs where nothing else is said. */
export const DEFAULT_ALGS: readonly SigningAlg[] = ['RS256']

/**
 * Makes the keys of KEYS_DIR, at the very first start, when it holds none at all; and later the ring of an algorithm that
 * was not configured before.
 *
 * @param algorithms those that there are to be keys of.
 * @throws {KeyFileError} when the folder holds other things and is open to others: it is no place for keys; or when it
 *   cannot be written.
 */
export async function ensureKeys(
  folder: string,
  algorithms: readonly SigningAlg[] = DEFAULT_ALGS,
): Promise<void> {
  const wanted = algorithms.map(signingRingOf)
  const there = await ringsIn(folder)
  if (there.length === 0) {
    // The keys first, since they take time: another server that starts now is to find all of the rings, or none.
    const begun: [RingName, NewKey][] = []
    for (const ring of [...wanted, 'refresh'] as const) begun.push([ring, await newKey(ring)])
    const now = Date.now()
    for (const [ring, key] of begun) await beginRing(folder, ring, now, key)
    return
  }
  // Without the secrets, or with them alone, something is gone that is for a person to put back; or others are making it at
  // this moment. A signing ring among others begins, whether it is new or was lost.
  if (!there.includes('refresh') || there.length === 1) return
  for (const ring of wanted.filter((ring) => !there.includes(ring))) {
    try {
      await beginRing(folder, ring)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EROFS' && code !== 'EACCES' && code !== 'EPERM') throw error
      throw new KeyFileError(
        join(folder, ring),
        `is missing and cannot be made (${code})`,
        `Make it where the files come from: pawl keys generate --alg ${algOfRing(ring)}.`,
      )
    }
  }
}

/**
 * Reads KEYS_DIR, as it was at one moment.
 *
 * @param algorithms those to sign with, the default first.
 * @throws {KeyFileError} when something is missing, unreadable, too weak, or open to other users of the machine.
 */
export async function loadKeys(
  folder: string,
  algorithms: readonly SigningAlg[] = DEFAULT_ALGS,
): Promise<Keys> {
  return (await loadKeysOf(folder, algorithms)).keys
}

/** As `loadKeys`, with what to tell a later state of the files by; see {@link fingerprintOf}. */
export async function loadKeysOf(
  folder: string,
  algorithms: readonly SigningAlg[],
): Promise<{ keys: Keys; fingerprint: string }> {
  const { value: keys, fingerprint } = await atOneMoment(folder, () => readKeys(folder, algorithms))
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
  for (const ring of RING_NAMES) {
    await note(ring)
    const names = (await exists(join(folder, ring))) ? await readdir(join(folder, ring)) : []
    for (const name of names.filter((name) => !name.startsWith('.')).sort()) await note(join(ring, name))
  }
  return parts.join('\n')
}

async function readKeys(folder: string, algorithms: readonly SigningAlg[]): Promise<Keys> {
  if (!(await exists(folder)))
    throw new KeyFileError(folder, 'is missing', 'Start the server once, or name it in KEYS_DIR.')
  await requirePrivate(folder, 'chmod 700')
  const published: SigningKey[] = []
  const signers: Signer[] = []
  for (const ring of await signingRingsIn(folder, algorithms)) {
    const files = await readFilesOf(folder, ring, Date.now(), 0)
    const keys = inUse(files).map(({ content }) => content as SigningKey)
    const active = activeOf(files.ring)
    const key = keys.find(({ kid }) => kid === active.id)
    if (!key) throw activeMissing(files)
    published.push(...keys)
    signers.push({ key, since: files.revision > 0 ? active.since : undefined, from: usableFrom(files.ring) })
  }
  const refresh = await readFilesOf(folder, 'refresh', Date.now(), 0)
  const macKeys = new Map(inUse(refresh).map(({ id, content }) => [id, content as Buffer]))
  const activeId = activeOf(refresh.ring).id
  if (!macKeys.has(activeId)) throw activeMissing(refresh)
  return {
    signing: signingKeysOf(published, signers, algorithms),
    refresh: { activeId, macKeys },
    signers,
  }
}

/** The signing rings that there are; where there is none, the one that is looked for in vain. */
async function signingRingsIn(folder: string, algorithms: readonly SigningAlg[]): Promise<RingName[]> {
  const there = (await ringsIn(folder)).filter((ring) => useOfRing(ring) === 'signing')
  return there.length > 0 ? there : algorithms.slice(0, 1).map(signingRingOf)
}

/** The keys that are published, or that verify: each once, since a copy under another name is the same key. */
function inUse({ ring, files }: KeyFolder): KeyFile[] {
  const retired = new Set(ring.filter(({ state }) => state === 'retired').map(({ id }) => id))
  return files.filter(
    ({ id }, index) => !retired.has(id) && files.findIndex((other) => other.id === id) === index,
  )
}

/**
 * Reads the keys of one ring, as they were at one moment.
 *
 * @param now milliseconds since 1970, from which on keys that no ring file has count as known.
 * @param life how long tokens live that are made with the active key, in seconds.
 * @throws {KeyFileError}
 */
export async function readKeyFolder(
  folder: string,
  ring: RingName,
  now: number,
  life: number,
): Promise<KeyFolder> {
  if (await exists(folder)) await requirePrivate(folder, 'chmod 700')
  return (await atOneMoment(folder, () => readFilesOf(folder, ring, now, life))).value
}

async function readFilesOf(folder: string, name: RingName, now: number, life: number): Promise<KeyFolder> {
  const home = join(folder, name)
  if (!(await exists(home))) {
    throw new KeyFileError(
      home,
      'is missing',
      `Put it back from a backup; or begin with a new one: pawl keys generate ${optionsOf(name)}.`,
    )
  }
  await requirePrivate(home, 'chmod 700')
  const isKeyFile = name === 'refresh' ? SECRET_FILE : PEM_FILE
  const files: KeyFile[] = []
  for (const file of (await readdir(home)).filter((file) => isKeyFile.test(file)).sort()) {
    const path = join(home, file)
    await requirePrivate(path, 'chmod 600')
    files.push({ name: file, ...(await readKeyFile(name, path, file)) })
  }
  const present = [...new Set(files.map(({ id }) => id))]
  const { revision, ring: written } = await readRingFile(home)
  const known = revision > 0 ? written : await ringWithoutFile(home, name, files, now, life)
  return { home, revision, written, ring: reconciled(known, present, now, { life }), files }
}

/** The options of `pawl keys` that name a ring. */
function optionsOf(ring: RingName): string {
  return ring === 'refresh' ? '--use refresh' : `--alg ${algOfRing(ring)}`
}

async function readKeyFile(ring: RingName, path: string, name: string): Promise<Omit<KeyFile, 'name'>> {
  const text = await readText(path)
  if (ring !== 'refresh') {
    const key = await readSigningKey(text).catch((error: Error) => {
      throw new KeyFileError(path, error.message, 'Put a good key in its place, or take the file away.')
    })
    if (key.alg !== algOfRing(ring)) {
      const what = `holds a key for ${key.alg}, and this folder is for ${algOfRing(ring)}`
      throw new KeyFileError(path, what, `Move it into the folder ${signingRingOf(key.alg)} beside this one.`)
    }
    return { id: key.kid, content: key }
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
  ringName: RingName,
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
    const longest = { next: 0, active: life, retiring: LONGEST_LIFE[useOfRing(ringName)] }[state]
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

const generate = promisify(generateKeyPair) as (
  type: string,
  options: object,
) => Promise<{ privateKey: KeyObject }>

const KEY_PAIR_OF: Readonly<Record<SigningAlg, () => ReturnType<typeof generate>>> = {
  RS256: () => generate('rsa', { modulusLength: 2048 }),
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generate('ed25519', {}),
}

/** Makes a key: for signing one of the ring's algorithm, RSA of 2048 bits; behind refresh tokens a secret of 32 bytes. */
export async function newKey(ring: RingName): Promise<NewKey> {
  const alg = algOfRing(ring)
  if (alg === 'HS256') {
    const id = randomBytes(4).toString('hex')
    return { id, name: `${id}.key`, text: `${randomBytes(SECRET_BYTES).toString('base64url')}\n` }
  }
  const { privateKey } = await KEY_PAIR_OF[alg]()
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const { kid } = await readSigningKey(text)
  // On a command line it would pass for an option.
  return kid.startsWith('-') ? newKey(ring) : { id: kid, name: `${kid}.pem`, text }
}

/**
 * Makes the first key of a ring in one step; or nothing where there is one already. So servers that are started at once on
 * an empty folder agree, and leave no key that nobody asked for.
 *
 * @param from when it begins to be used, in milliseconds since 1970. By default at once; a signing key beside those of
 *   another algorithm when every verifier knows it.
 * @param key the key to begin with, else a new one.
 * @returns the key's id, or `undefined` where another process was first.
 */
export async function beginRing(
  folder: string,
  ringName: RingName,
  from?: number,
  key?: NewKey,
): Promise<string | undefined> {
  if (!(await exists(folder))) await mkdir(folder, { recursive: true, mode: 0o700 })
  // A folder that has just been checked out or mounted is open to others, and may be closed while it is ours alone.
  if (isLoose(await stat(folder))) {
    const others = (await readdir(folder)).filter((name) => !name.startsWith('.') && !OURS.includes(name))
    if (others.length > 0) await requirePrivate(folder, 'chmod 700')
    await chmod(folder, 0o700)
  }
  const isFirst = ringName === 'refresh' || (await ringsIn(folder)).every((ring) => ring === 'refresh')
  const { id, name, text } = key ?? (await newKey(ringName))
  const now = Date.now()
  const ring = newRing(id, now, from ?? (isFirst ? now : now + 1000 * signingRingSettings(0).spread))
  const draft = await mkdtemp(join(folder, `.${ringName}-`))
  await writeFile(join(draft, name), text, { mode: 0o600, flush: true })
  await writeFile(join(draft, 'ring.1.json'), serialise(ring), { mode: 0o600, flush: true })
  const home = join(folder, ringName)
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
