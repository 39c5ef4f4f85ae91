import { fromBase64, readStoredHash, toBase64 } from './stored-hash.ts'

/** What Firebase says of a project's hashing (Authentication, Password Hash Parameters). */
export interface FirebaseParameters {
  readonly signerKey: Buffer
  readonly saltSeparator: Buffer
  readonly rounds: number
  /** The binary logarithm of scrypt's N. */
  readonly memCost: number
}

const BINARY = [0, 256] as const

/**
 * Reads a password hash as another system writes it, and makes of it the text that is stored (stored-hash.ts): argon2,
 * bcrypt, scrypt and PBKDF2 in the texts of crypt(3), PHC, passlib and Django, the credential of a Keycloak export, and
 * the user of a Firebase export.
 *
 * @param firebase the project's parameters, for a hash that comes without them.
 * @throws {TypeError} with a message that continues "the password hash …", and never repeats it.
 */
export function readImportedHash(value: unknown, firebase?: FirebaseParameters): string {
  const stored = typeof value === 'string' ? ofText(value, firebase) : ofObject(value, firebase)
  readStoredHash(stored)
  return stored
}

function ofText(text: string, firebase: FirebaseParameters | undefined): string {
  if (text === '') throw new TypeError('is empty')
  if (/^\{\s*"/.test(text)) return ofObject(objectIn(text), firebase)
  // Django, of an account without a password.
  if (text.startsWith('!')) throw new TypeError('is marked as unusable')
  for (const [pattern, made] of TEXTS) {
    const match = pattern.exec(text)
    if (match) return made(match.slice(1) as string[])
  }
  if (/^\$2x\$/.test(text))
    throw new TypeError('is bcrypt of the faulty kind $2x$, which nobody should verify')
  if (/^bcrypt_sha256\$/.test(text)) throw new TypeError('is Django’s bcrypt_sha256, which is not supported')
  // It may be of a kind that is stored as it is; if of none, that is where it is said.
  return text
}

const B64 = '[^$]+'

/** The texts that are not stored as they are, each with what becomes of its parts. */
const TEXTS: readonly (readonly [pattern: RegExp, made: (parts: string[]) => string])[] = [
  // Django and Spring Security say in front which it is.
  [
    /^(?:argon2|\{argon2(?:@SpringSecurity_v5_(?:2|8))?\})(\$argon2.*)$/s,
    ([hash = '']) => ofText(hash, undefined),
  ],
  [/^(?:bcrypt\$|\{(?:bcrypt|BCRYPT|CRYPT)\})(\$2.*)$/s, ([hash = '']) => hash],
  // Argon2 before version 19 does not say so.
  [/^\$(argon2id?|argon2d)(\$m=.*)$/s, ([variant, rest]) => `$${variant}$v=16${rest}`],
  [
    // passlib, and PHC with the length said besides. The alphabet of passlib has . for +.
    new RegExp(
      `^\\$pbkdf2(?:-(sha1|sha256|sha512))?\\$(?:i=)?(\\d{1,10})(?:,l=\\d{1,3})?\\$(${B64})\\$(${B64})$`,
    ),
    ([digest = 'sha1', iterations = '', salt = '', key = '']) =>
      pbkdf2(digest, iterations, plain(salt.replaceAll('.', '+')), plain(key.replaceAll('.', '+'))),
  ],
  [
    // Django. The salt is a text, not base64.
    new RegExp(`^pbkdf2_(sha1|sha256|sha512)\\$(\\d{1,10})\\$(${B64})\\$(${B64})$`),
    ([digest = '', iterations = '', salt = '', key = '']) =>
      pbkdf2(digest, iterations, toBase64(Buffer.from(salt)), plain(key)),
  ],
  [
    new RegExp(`^scrypt\\$(\\d{1,10})\\$(${B64})\\$(\\d{1,6})\\$(\\d{1,6})\\$(${B64})$`),
    ([n = '', salt = '', r, p, key = '']) => {
      const logN = Math.log2(Number(n))
      if (!Number.isInteger(logN)) throw new TypeError('has a cost that cannot be')
      return `$scrypt$ln=${logN},r=${r},p=${p}$${toBase64(Buffer.from(salt))}$${plain(key)}`
    },
  ],
  [
    // Firebase's parameters in the text itself.
    new RegExp(
      `^\\$fbscrypt\\$v=1,n=(\\d{1,2}),r=(\\d{1,6}),p=1,ss=([^$,]*),sk=([^$,]+)\\$(${B64})\\$(${B64})$`,
    ),
    ([n, r, separator = '', key = '', salt = '', hash = '']) =>
      firebaseScrypt(hash, salt, {
        signerKey: binary(key, 'signer key'),
        saltSeparator: binary(separator, 'salt separator'),
        rounds: Number(r),
        memCost: Number(n),
      }),
  ],
]

function ofObject(value: unknown, firebase: FirebaseParameters | undefined): string {
  if (!isObject(value)) throw new TypeError('is no text and no JSON object')
  if ('credentialData' in value || 'secretData' in value) return ofKeycloak(value)
  if ('passwordHash' in value) {
    const { passwordHash, salt } = value
    if (typeof passwordHash !== 'string' || typeof salt !== 'string') {
      throw new TypeError('needs passwordHash and salt, as Firebase exports them')
    }
    if (!firebase)
      throw new TypeError('is of a Firebase export: give its project’s parameters by --firebase-…')
    return firebaseScrypt(passwordHash, salt, firebase)
  }
  throw new TypeError('is a JSON object, but neither a Keycloak credential nor of a Firebase export')
}

/** A credential of type `password`, as in a realm export. Its two members are JSON in strings, or objects. */
function ofKeycloak(credential: Readonly<Record<string, unknown>>): string {
  if (credential.type !== undefined && credential.type !== 'password') {
    throw new TypeError('is a Keycloak credential that is no password')
  }
  const { algorithm, hashIterations, additionalParameters } = objectIn(credential.credentialData)
  const secret = objectIn(credential.secretData)
  const value = standard(secret.value, 'key')
  const salt = standard(secret.salt, 'salt')
  const iterations = String(hashIterations)
  if (algorithm === 'argon2') {
    const parameter = (name: string) => {
      const given = isObject(additionalParameters) ? additionalParameters[name] : undefined
      return String(Array.isArray(given) ? given[0] : given)
    }
    const version = parameter('version') === '1.0' ? 16 : 19
    return (
      `$argon2${parameter('type')}$v=${version}$m=${parameter('memory')},t=${iterations},` +
      `p=${parameter('parallelism')}$${salt}$${value}`
    )
  }
  const [, digest = 'sha1'] = /^pbkdf2(?:-(sha1|sha256|sha512))?$/.exec(String(algorithm)) ?? [undefined, '']
  if (digest === '') throw new TypeError('is of a Keycloak algorithm that is not supported')
  return pbkdf2(digest, iterations, salt, value)
}

/**
 * Firebase encrypts the project's signer key by what scrypt makes of the password, and keeps that. What it encrypts
 * with says as much of the password; so the signer key, which is a secret of the whole project, is not stored.
 */
function firebaseScrypt(hash: string, salt: string, firebase: FirebaseParameters): string {
  const encrypted = binary(hash, 'hash')
  const { signerKey, saltSeparator, rounds, memCost } = firebase
  if (encrypted.length !== signerKey.length) {
    throw new TypeError('is not as long as the signer key: is that of another project?')
  }
  const keystream = encrypted.map((octet, i) => octet ^ signerKey[i]!)
  const salted = Buffer.concat([binary(salt, 'salt'), saltSeparator])
  return `$firebase-scrypt$ln=${memCost},r=${rounds}$${toBase64(salted)}$${toBase64(keystream)}`
}

const pbkdf2 = (digest: string, iterations: string, salt: string, key: string) =>
  `$pbkdf2-${digest}$i=${Number(iterations)}$${salt}$${key}`

const plain = (base64: string) => base64.replace(/={1,2}$/, '')

/** Base64 of a JSON member. */
function standard(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new TypeError(`has no ${what}`)
  return plain(value)
}

/** @throws {TypeError} unless the text is base64, of either alphabet, padded or not. */
export function binary(text: string, what: string): Buffer {
  return fromBase64(plain(text).replaceAll('-', '+').replaceAll('_', '/'), what, BINARY)
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  let read = value
  if (typeof value === 'string') {
    try {
      read = JSON.parse(value)
    } catch {
      throw new TypeError('begins like JSON and is none')
    }
  }
  if (!isObject(read)) throw new TypeError('has a part that is no JSON object')
  return read
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
