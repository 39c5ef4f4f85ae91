import { generateKeyPair, randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type RefreshSecretRing, refreshMacKey } from '../tokens/refresh-token.ts'
import { readSigningKey, type SigningKey, type SigningKeys } from '../tokens/signing-key.ts'

/*
 * KEYS_DIR/signing/NAME.pem     RSA private keys, PKCS #8; all are published
 * KEYS_DIR/signing/active       the kid of the one that signs
 * KEYS_DIR/refresh/ID.key       secrets of 32 bytes behind refresh tokens; all verify
 * KEYS_DIR/refresh/active       the ID of the one that new tokens are made under
 */
const SIGNING = 'signing'
const REFRESH = 'refresh'
const ACTIVE = 'active'
const OURS = [SIGNING, REFRESH, 'README.md']
const SECRET_BYTES = 32
const SECRET_FILE = /^([0-9a-f]{8})\.key$/

/** A key file or folder that cannot be used. The message names it and the mend. */
export class KeyFileError extends Error {
  constructor(path: string, what: string, mend: string) {
    super(`${path} ${what}. ${mend}`)
    this.name = 'KeyFileError'
  }
}

/** All that KEYS_DIR holds. */
export interface Keys {
  readonly signing: SigningKeys
  readonly refresh: RefreshSecretRing
}

/**
 * Makes the keys of KEYS_DIR, at the very first start, when it holds none at all.
 *
 * @throws {KeyFileError} when the folder holds other things and is open to others: it is no place for keys.
 */
export async function ensureKeys(folder: string): Promise<void> {
  if (exists(join(folder, SIGNING)) || exists(join(folder, REFRESH))) return
  beginRing(folder, SIGNING, await newSigningKey())
  beginRing(folder, REFRESH, newRefreshSecret())
}

/**
 * Reads KEYS_DIR.
 *
 * @throws {KeyFileError} when something is missing, unreadable, too weak, or open to other users of the machine.
 */
export async function loadKeys(folder: string): Promise<Keys> {
  if (!exists(folder))
    throw new KeyFileError(folder, 'is missing', 'Start the server once, or name it in KEYS_DIR.')
  requirePrivate(folder, 'chmod 700')
  return { signing: await loadSigningKeys(folder), refresh: loadRefreshSecrets(folder) }
}

/**
 * Adds a signing key of 2048 bits, which is published and does not sign, unless it is the first.
 *
 * @returns its kid.
 */
export async function generateSigningKey(folder: string): Promise<string> {
  const key = await newSigningKey()
  addKey(folder, SIGNING, key)
  return key.id
}

/**
 * Adds a secret for refresh tokens, under which no tokens are made, unless it is the first.
 *
 * @returns its id.
 */
export function generateRefreshSecret(folder: string): string {
  const key = newRefreshSecret()
  addKey(folder, REFRESH, key)
  return key.id
}

async function newSigningKey(): Promise<NewKey> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
  const content = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const { kid } = await readSigningKey(content)
  return { file: `${kid}.pem`, content, id: kid }
}

function newRefreshSecret(): NewKey {
  const id = randomBytes(4).toString('hex')
  return { file: `${id}.key`, content: `${randomBytes(SECRET_BYTES).toString('base64url')}\n`, id }
}

async function loadSigningKeys(folder: string): Promise<SigningKeys> {
  const published: SigningKey[] = []
  for (const { path, content } of readKeyFiles(folder, SIGNING, (name) => name.endsWith('.pem'))) {
    try {
      const key = await readSigningKey(content)
      // A copy under another name is the same key, and a JWKS names each once (RFC 7517 section 4.5).
      if (published.every(({ kid }) => kid !== key.kid)) published.push(key)
    } catch (error) {
      throw new KeyFileError(
        path,
        (error as Error).message,
        'Put a good key in its place, or take the file away.',
      )
    }
  }
  const activeKid = readActive(folder, SIGNING)
  const active = published.find(({ kid }) => kid === activeKid)
  if (!active) throw activeMissing(folder, SIGNING, activeKid)
  return { active, published }
}

function loadRefreshSecrets(folder: string): RefreshSecretRing {
  const macKeys = new Map<string, Buffer>()
  for (const { path, name, content } of readKeyFiles(folder, REFRESH, (name) => SECRET_FILE.test(name))) {
    const secret = Buffer.from(content.trim(), 'base64url')
    if (secret.length !== SECRET_BYTES) {
      throw new KeyFileError(
        path,
        `does not hold ${SECRET_BYTES} bytes in base64url`,
        'Put it back from a backup.',
      )
    }
    macKeys.set(SECRET_FILE.exec(name)?.[1] ?? '', refreshMacKey(secret))
  }
  const activeId = readActive(folder, REFRESH)
  if (!macKeys.has(activeId)) throw activeMissing(folder, REFRESH, activeId)
  return { activeId, macKeys }
}

/** Since when the active signing key is that, in milliseconds since 1970; `undefined` when the file cannot be read. */
export function signsSince(folder: string): number | undefined {
  return statSync(join(folder, SIGNING, ACTIVE), { throwIfNoEntry: false })?.mtimeMs
}

interface NewKey {
  readonly file: string
  readonly content: string
  readonly id: string
}

/** Adds one key file. */
function addKey(folder: string, use: string, key: NewKey): void {
  const home = join(folder, use)
  if (exists(home)) writeFileSync(join(home, key.file), key.content, { mode: 0o600, flag: 'wx' })
  else beginRing(folder, use, key)
}

/**
 * Makes the first key of a use, with its `active`, in one step; or nothing where there is one already. So servers that
 * are started at once on an empty folder agree, and leave no key that nobody asked for.
 */
function beginRing(folder: string, use: string, key: NewKey): void {
  if (!exists(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const home = join(folder, use)
  // A folder that has just been checked out or mounted is open to others, and may be closed while it is ours alone.
  if (isLoose(folder)) {
    const others = readdirSync(folder).filter((name) => !name.startsWith('.') && !OURS.includes(name))
    if (others.length > 0) requirePrivate(folder, 'chmod 700')
    chmodSync(folder, 0o700)
  }
  const draft = mkdtempSync(join(folder, `.${use}-`))
  writeFileSync(join(draft, key.file), key.content, { mode: 0o600 })
  writeFileSync(join(draft, ACTIVE), `${key.id}\n`, { mode: 0o600 })
  try {
    renameSync(draft, home)
  } catch (error) {
    rmSync(draft, { recursive: true })
    // Another server was first; its key is as good.
    if (!exists(home)) throw error
  }
}

function readKeyFiles(folder: string, use: string, isKey: (name: string) => boolean) {
  const home = join(folder, use)
  if (!exists(home)) {
    throw new KeyFileError(
      home,
      'is missing',
      `Put it back from a backup; or begin with a new one: pawl keys generate --use ${use}.`,
    )
  }
  requirePrivate(home, 'chmod 700')
  return readdirSync(home)
    .filter(isKey)
    .sort()
    .map((name) => {
      const path = join(home, name)
      requirePrivate(path, 'chmod 600')
      return { name, path, content: readText(path) }
    })
}

function readActive(folder: string, use: string): string {
  return readText(join(folder, use, ACTIVE)).trim()
}

function activeMissing(folder: string, use: string, id: string): KeyFileError {
  return new KeyFileError(
    join(folder, use, ACTIVE),
    `names ${JSON.stringify(id.slice(0, 64))}, and no key file beside it is that one`,
    'Write into it which of them is in use.',
  )
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new KeyFileError(
      path,
      `cannot be read (${code})`,
      'Let this user read it, or put it back from a backup.',
    )
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function isLoose(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0
}

function requirePrivate(path: string, mend: string): void {
  if (!exists(path)) throw new KeyFileError(path, 'is missing', 'Put it back from a backup.')
  if (!isLoose(path)) return
  const mode = (statSync(path).mode & 0o777).toString(8)
  throw new KeyFileError(
    path,
    `is open to other users of this machine (mode ${mode})`,
    `Close it: ${mend} ${path}`,
  )
}
