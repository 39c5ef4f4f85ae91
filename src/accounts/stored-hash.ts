import { COST } from './password-task.ts'

/*
 * What may stand as a user's password hash: one text for each kind. Argon2 as its reference writes it, bcrypt as crypt(3)
 * does, the others in PHC format. What other systems write is made into one of these at import (imported-hash.ts).
 */

/** A password hash, read. Memory is KiB, salts and keys are bytes. */
export type StoredHash =
  | {
      readonly kind: 'argon2'
      readonly variant: 'argon2id' | 'argon2i' | 'argon2d'
      readonly version: number
      readonly memory: number
      readonly passes: number
    }
  | { readonly kind: 'bcrypt'; readonly cost: number }
  | ({ readonly kind: 'scrypt'; readonly lanes: number; readonly key: Buffer } & ScryptCost)
  /** The keystream is what Firebase encrypts its project's signer key with: it says as much, without that key. */
  | ({ readonly kind: 'firebase-scrypt'; readonly keystream: Buffer } & ScryptCost)
  | {
      readonly kind: 'pbkdf2'
      readonly digest: Pbkdf2Digest
      readonly iterations: number
      readonly salt: Buffer
      readonly key: Buffer
    }

interface ScryptCost {
  /** The binary logarithm of N. */
  readonly logN: number
  readonly blockSize: number
  readonly salt: Buffer
}

export type Pbkdf2Digest = 'sha1' | 'sha256' | 'sha512'

/*
 * Anybody may have a hash computed by guessing at its user's password. So none costs more than about a second of a
 * thread and 256 MiB: what OWASP, RFC 9106 for small memory, libsodium up to "moderate", Django and Keycloak recommend
 * is well within.
 */
const MAX_ARGON2_MEMORY = 256 * 1024
const MAX_ARGON2_WORK = 1024 * 1024
const MAX_ARGON2_LANES = 16
const MAX_BCRYPT_COST = 14
const MAX_SCRYPT_BLOCKS = 2 ** 20
const MAX_SCRYPT_WORK = 2 ** 21
const MAX_SCRYPT_LANES = 16
const MAX_ITERATIONS = { sha1: 4_000_000, sha256: 3_000_000, sha512: 2_000_000 }

/** A shorter key fits too many passwords; an empty one fits all. */
const KEY_BYTES = [16, 128] as const
const SALT_BYTES = [1, 256] as const

const MAX_CHARACTERS = 1024

/**
 * Reads a stored password hash.
 *
 * @throws {TypeError} with a message that continues "the password hash …", and never repeats it.
 */
export function readStoredHash(text: string): StoredHash {
  if (text.length > MAX_CHARACTERS) throw new TypeError(`is longer than ${MAX_CHARACTERS} characters`)
  const [, name = ''] = /^\$([a-z0-9-]{1,20})\$/.exec(text) ?? []
  if (!Object.hasOwn(READERS, name)) throw new TypeError('is of no known kind')
  return READERS[name as keyof typeof READERS](text)
}

/** Why a text cannot be a stored password hash, or `undefined` when it can; continues "the password hash …". */
export function storedHashFault(text: string): string | undefined {
  try {
    readStoredHash(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Whether the next sign-in is to replace the hash by one of ours: another algorithm, or argon2id of lower cost. */
export function needsRehash(text: string): boolean {
  try {
    const stored = readStoredHash(text)
    return !(
      stored.kind === 'argon2' &&
      stored.variant === 'argon2id' &&
      stored.version === 19 &&
      stored.memory >= COST.memoryCost &&
      stored.memory * stored.passes >= COST.memoryCost * COST.timeCost
    )
  } catch {
    // Of no use either way: nobody signs in by it.
    return false
  }
}

/** All of a password that bcrypt looks at, in bytes of UTF-8. */
const BCRYPT_BYTES = 72

/**
 * Whether the hash says nothing of the password's end: it may be mistyped there, and the right one may go on. As it was
 * typed or in NFC, whichever was found to fit.
 */
export function isPrefixAlone(text: string, password: string): boolean {
  const bytes = Math.max(...[password, password.normalize('NFC')].map((form) => Buffer.byteLength(form)))
  return bytes >= BCRYPT_BYTES && readStoredHash(text).kind === 'bcrypt'
}

/** Bytes in the base64 of PHC strings: the standard alphabet, no padding. */
export const toBase64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64').replaceAll('=', '')

/** @throws {TypeError} unless the text is base64 without padding, to the letter. */
export function fromBase64(text: string, what: string, [least, most]: readonly [number, number]): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (toBase64(bytes) !== text) throw new TypeError(`has a ${what} that is not base64`)
  if (bytes.length < least || bytes.length > most) {
    throw new TypeError(`has a ${what} that is not of ${least} to ${most} bytes`)
  }
  return bytes
}

const READERS = {
  argon2id: readArgon2,
  argon2i: readArgon2,
  argon2d: readArgon2,
  '2a': readBcrypt,
  '2b': readBcrypt,
  '2y': readBcrypt,
  scrypt: readScrypt,
  'firebase-scrypt': readFirebaseScrypt,
  'pbkdf2-sha1': readPbkdf2,
  'pbkdf2-sha256': readPbkdf2,
  'pbkdf2-sha512': readPbkdf2,
}

// RFC 9106 section 3.1, in the text of the reference implementation.
const ARGON2 =
  /^\$(argon2id|argon2i|argon2d)\$v=(16|19)\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,5})\$([^$]+)\$([^$]+)$/

function readArgon2(text: string): StoredHash {
  const [, variant, version, m, t, p, salt = '', key = ''] = matched(ARGON2, text)
  const [memory, passes, lanes] = [Number(m), Number(t), Number(p)]
  if (passes < 1 || lanes < 1 || memory < 8 * lanes) throw new TypeError('has a cost that cannot be')
  if (memory > MAX_ARGON2_MEMORY || memory * passes > MAX_ARGON2_WORK || lanes > MAX_ARGON2_LANES) {
    throw tooDear(
      `m at most ${MAX_ARGON2_MEMORY}, m times t at most ${MAX_ARGON2_WORK}, p at most ${MAX_ARGON2_LANES}`,
    )
  }
  fromBase64(salt, 'salt', [8, 64])
  fromBase64(key, 'key', KEY_BYTES)
  return {
    kind: 'argon2',
    variant: variant as 'argon2id' | 'argon2i' | 'argon2d',
    version: Number(version),
    memory,
    passes,
  }
}

function readBcrypt(text: string): StoredHash {
  const [, digits] = matched(/^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/, text)
  const cost = Number(digits)
  if (cost < 4) throw new TypeError('has a cost that cannot be')
  if (cost > MAX_BCRYPT_COST) throw tooDear(`at most ${MAX_BCRYPT_COST}`)
  return { kind: 'bcrypt', cost }
}

// RFC 7914; the text is passlib's and PHC's.
const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,6}),p=(\d{1,6})\$([^$]+)\$([^$]+)$/

function readScrypt(text: string): StoredHash {
  const [, ln, r, p, salt = '', key = ''] = matched(SCRYPT, text)
  const lanes = Number(p)
  return {
    kind: 'scrypt',
    ...scryptCost(Number(ln), Number(r), lanes),
    lanes,
    salt: fromBase64(salt, 'salt', SALT_BYTES),
    key: fromBase64(key, 'key', KEY_BYTES),
  }
}

const FIREBASE_SCRYPT = /^\$firebase-scrypt\$ln=(\d{1,2}),r=(\d{1,6})\$([^$]+)\$([^$]+)$/

function readFirebaseScrypt(text: string): StoredHash {
  const [, ln, r, salt = '', keystream = ''] = matched(FIREBASE_SCRYPT, text)
  return {
    kind: 'firebase-scrypt',
    ...scryptCost(Number(ln), Number(r), 1),
    salt: fromBase64(salt, 'salt', SALT_BYTES),
    keystream: fromBase64(keystream, 'key', KEY_BYTES),
  }
}

function scryptCost(logN: number, blockSize: number, lanes: number) {
  const blocks = 2 ** logN * blockSize
  if (logN < 1 || blockSize < 1 || lanes < 1) throw new TypeError('has a cost that cannot be')
  if (blocks > MAX_SCRYPT_BLOCKS || blocks * lanes > MAX_SCRYPT_WORK || lanes > MAX_SCRYPT_LANES) {
    throw tooDear('N times r at most 2^20, N times r times p at most 2^21, p at most 16')
  }
  return { logN, blockSize }
}

const PBKDF2 = /^\$pbkdf2-(sha1|sha256|sha512)\$i=(\d{1,10})\$([^$]+)\$([^$]+)$/

function readPbkdf2(text: string): StoredHash {
  const [, name, i, salt = '', key = ''] = matched(PBKDF2, text)
  const digest = name as Pbkdf2Digest
  const iterations = Number(i)
  if (iterations < 1) throw new TypeError('has a cost that cannot be')
  if (iterations > MAX_ITERATIONS[digest]) throw tooDear(`at most ${MAX_ITERATIONS[digest]} iterations`)
  return {
    kind: 'pbkdf2',
    digest,
    iterations,
    salt: fromBase64(salt, 'salt', SALT_BYTES),
    key: fromBase64(key, 'key', KEY_BYTES),
  }
}

function matched(pattern: RegExp, text: string): RegExpExecArray {
  const match = pattern.exec(text)
  if (!match) throw new TypeError('is malformed')
  return match
}

const tooDear = (bound: string) =>
  new TypeError(`costs more than a server can spend on each guess (${bound}): give the user a new password`)
