import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  type Client,
  clientIdFault,
  GRANT_TYPES,
  hashClientSecret,
  isAudience,
  isOrigin,
} from '../accounts/client.ts'
import { claimsFault, type ExtraClaims } from '../accounts/extra-claims.ts'
import { readImportedHash } from '../accounts/imported-hash.ts'
import type { PasswordRules } from '../accounts/password-rules.ts'
import { foldUsername, subFault, usernameFault } from '../accounts/user.ts'
import { isScopeToken } from '../oauth/scope.ts'
import { ACCESS_TOKEN_TYPES } from '../tokens/access-token.ts'
import { SIGNING_ALGS } from '../tokens/signing-key.ts'
import { ConfigError } from './config.ts'

/** The clients and users that there are to be when a server starts. */
export interface Seed {
  readonly clients: readonly SeedClient[]
  readonly users: readonly SeedUser[]
}

/** What the file declares of a client, and nothing else. */
export type SeedClient = Pick<Client, 'clientId' | 'type'> & Partial<Omit<Client, 'createdAt' | 'epoch'>>

export interface SeedUser {
  readonly username: string
  /** A password, or else a hash in one of the texts of stored-hash.ts. */
  readonly password?: string
  readonly passwordHash?: string
  readonly sub?: string
  readonly claims?: ExtraClaims
  readonly disabled?: boolean
}

/**
 * Reads and checks a seed file, and the files of secrets that it names (relative to its own folder).
 *
 * @throws {ConfigError} with every fault at once; each names the file and the place in it, and repeats no secret.
 */
export function readSeedFile(path: string, rules: PasswordRules): Seed {
  let seed: unknown
  try {
    if (!statSync(path).isFile()) throw Object.assign(new Error(), { code: 'no regular file' })
    seed = JSON.parse(readFileSync(path, 'utf8').replace(/^\ufeff/, ''))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError([
      `SEED_FILE ${path} ${code === undefined ? 'is not JSON' : `cannot be read (${code})`}`,
    ])
  }
  const faults: string[] = []
  const reader = new Reader(dirname(path), (place, fault) =>
    faults.push(`SEED_FILE ${path}: ${place || 'the file'} ${fault}`),
  )
  const read = reader.members('', seed, SEED)
  const clients = reader.each('clients', read.clients, (place, item) => readClient(reader, place, item))
  const users = reader.each('users', read.users, (place, item) => readUser(reader, place, item, rules))
  reader.once('clients', clients, ({ clientId }) => clientId, 'client_id')
  reader.once('users', users, ({ username }) => foldUsername(username), 'username')
  reader.once('users', users, ({ sub }) => sub, 'sub')
  for (const [i, { sub }] of users.entries()) {
    if (clients.some(({ clientId }) => clientId === sub))
      faults.push(
        `SEED_FILE ${path}: users[${i}].sub is the client_id of a client, hence the sub of its own tokens`,
      )
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return { clients, users }
}

const SEED = ['clients', 'users']
const CLIENT_SECRETS = ['client_secret', 'client_secret_hash', 'client_secret_file']
const PASSWORDS = ['password', 'password_hash', 'password_file']
const USER = ['username', ...PASSWORDS, 'sub', 'claims', 'disabled']

/** Client secrets are kept as SHA-256, so they must be such as nobody guesses (RFC 6749 section 10.10). */
const CLIENT_SECRET = /^[A-Za-z0-9._~-]{32,128}$/
const CLIENT_SECRET_HASH = /^[A-Za-z0-9_-]{43}$/

/** A member of a client: what it is called here and in the record, and why a value is refused. */
type Member = readonly [
  name: string,
  member: keyof SeedClient,
  fault: (value: unknown) => string | false | undefined,
]

const listOf = (isGood: (text: string) => boolean, expected: string) => (value: unknown) =>
  !(Array.isArray(value) && value.every((item) => typeof item === 'string' && isGood(item))) &&
  `must be a list of ${expected}`
const oneOf = (allowed: readonly string[]) => (value: unknown) =>
  !allowed.some((one) => one === value) && `must be ${allowed.join(' or ')}`
const seconds = (least: number, most: number) => (value: unknown) =>
  !(Number.isInteger(value) && Number(value) >= least && Number(value) <= most) &&
  `must be ${least} to ${most} seconds`
const flag = (value: unknown) => typeof value !== 'boolean' && 'must be true or false'
const YEARS = 316_224_000

const MEMBERS: readonly Member[] = [
  ['client_id', 'clientId', (value) => (typeof value === 'string' ? clientIdFault(value) : 'must be a text')],
  ['type', 'type', oneOf(['public', 'confidential'])],
  [
    'grants',
    'grants',
    listOf((text) => GRANT_TYPES.some((type) => type === text), `grants: ${GRANT_TYPES.join(', ')}`),
  ],
  ['scopes', 'scopes', listOf(isScopeToken, 'scope tokens: printable, without quotes or backslashes')],
  ['audiences', 'audiences', listOf(isAudience, 'audiences: 1 to 255 printable characters without a space')],
  ['origins', 'origins', listOf(isOrigin, 'origins as browsers send them, such as https://app.example.com')],
  ['may_introspect', 'mayIntrospect', flag],
  ['access_token_typ', 'accessTokenTyp', oneOf(ACCESS_TOKEN_TYPES)],
  ['signing_alg', 'signingAlg', oneOf(SIGNING_ALGS)],
  ['claims', 'claims', (value) => claimsFault(value)],
  ['access_token_ttl', 'accessTokenTtl', seconds(1, 86_400)],
  ['refresh_token_idle_ttl', 'refreshTokenIdleTtl', seconds(1, YEARS)],
  ['refresh_token_max_ttl', 'refreshTokenMaxTtl', seconds(1, YEARS)],
  ['refresh_token_grace', 'refreshTokenGrace', seconds(0, 3600)],
  ['on_reuse', 'onReuse', oneOf(['enforce', 'observe'])],
  ['disabled', 'disabled', flag],
]
const CLIENT = [...MEMBERS.map(([name]) => name), ...CLIENT_SECRETS]

function readClient(reader: Reader, place: string, item: unknown): SeedClient | undefined {
  const given = reader.members(place, item, CLIENT)
  const client: Record<string, unknown> = {}
  let isGood = true
  const refuse = (name: string, fault: string) => {
    isGood = false
    reader.refuse(`${place}.${name}`, fault)
  }
  for (const [name, member, faultOf] of MEMBERS) {
    const isNeeded = name === 'client_id' || name === 'type'
    if (given[name] === undefined && !isNeeded) continue
    const fault = given[name] === undefined ? 'is missing' : faultOf(given[name])
    if (fault) refuse(name, fault)
    client[member] = given[name]
  }
  const named = CLIENT_SECRETS.filter((name) => given[name] !== undefined)
  const isPublic = client.type === 'public'
  if (isPublic && named.length > 0)
    refuse(named[0]!, 'is for confidential clients only: a public one has no secret')
  if (!isPublic && named.length !== 1) reader.refuse(place, `needs one of ${CLIENT_SECRETS.join(', ')}`)
  if (isPublic && client.mayIntrospect === true) refuse('may_introspect', 'is for confidential clients only')
  if (isPublic && Array.isArray(client.grants) && client.grants.includes('client_credentials')) {
    refuse('grants', 'has client_credentials, which is for confidential clients only')
  }
  if (!isPublic && named.length === 1) {
    const secret = reader.text(`${place}.${named[0]}`, given[named[0]!], named[0]!.endsWith('_file'))
    if (named[0] === 'client_secret_hash') {
      if (secret === undefined || !CLIENT_SECRET_HASH.test(secret))
        refuse(named[0], 'must be a SHA-256 in base64url')
      client.secretHash = secret
    } else if (secret !== undefined) {
      if (!CLIENT_SECRET.test(secret)) {
        refuse(named[0]!, 'must be 32 to 128 of the characters A-Z a-z 0-9 . _ ~ -, drawn at random')
      }
      client.secretHash = hashClientSecret(secret)
    }
  }
  return isGood ? (client as unknown as SeedClient) : undefined
}

function readUser(reader: Reader, place: string, item: unknown, rules: PasswordRules): SeedUser | undefined {
  const given = reader.members(place, item, USER)
  const { username, sub, claims, disabled } = given
  if (typeof username !== 'string') return reader.refuse(`${place}.username`, 'is missing, or no text')
  const refuseIf = (name: string, fault: string | false | undefined) => {
    if (fault) reader.refuse(`${place}.${name}`, fault)
  }
  refuseIf('username', usernameFault(username))
  if (sub !== undefined) refuseIf('sub', typeof sub === 'string' ? subFault(sub) : 'must be a text')
  if (claims !== undefined) refuseIf('claims', claimsFault(claims))
  if (disabled !== undefined) refuseIf('disabled', flag(disabled))

  const named = PASSWORDS.filter((name) => given[name] !== undefined)
  const [name] = named
  if (name === undefined || named.length > 1)
    return reader.refuse(place, `needs one of ${PASSWORDS.join(', ')}`)
  const user = {
    username: username.normalize('NFC'),
    ...(sub !== undefined && { sub: sub as string }),
    ...(claims !== undefined && { claims: claims as ExtraClaims }),
    ...(disabled !== undefined && { disabled: disabled as boolean }),
  }
  if (name === 'password_hash') {
    try {
      return { ...user, passwordHash: readImportedHash(given[name]) }
    } catch (error) {
      return reader.refuse(`${place}.${name}`, (error as Error).message)
    }
  }
  const password = reader.text(`${place}.${name}`, given[name], name === 'password_file')
  if (password === undefined) return undefined
  refuseIf(name, rules.fault(password, username))
  return { ...user, password }
}

/** Reads parts of the file, and notes what is wrong with them. */
class Reader {
  readonly #folder: string
  readonly #note: (place: string, fault: string) => void

  constructor(folder: string, note: (place: string, fault: string) => void) {
    this.#folder = folder
    this.#note = note
  }

  refuse(place: string, fault: string): undefined {
    this.#note(place, fault)
  }

  /** The members of an object that has no others than these. */
  members(place: string, value: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.refuse(place, 'must be a JSON object')
      return {}
    }
    for (const name of Object.keys(value)) {
      if (!names.includes(name)) {
        this.refuse(place ? `${place}.${name}` : name, `is not known; there are ${names.join(', ')}`)
      }
    }
    return value as Readonly<Record<string, unknown>>
  }

  each<T>(place: string, value: unknown, read: (place: string, item: unknown) => T | undefined): T[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.refuse(place, 'must be a list')
      return []
    }
    return value.map((item, i) => read(`${place}[${i}]`, item)).filter((item) => item !== undefined)
  }

  once<T>(place: string, items: readonly T[], keyOf: (item: T) => string | undefined, name: string): void {
    const keys = items.map(keyOf).filter((key) => key !== undefined)
    if (new Set(keys).size < keys.length) this.refuse(place, `has the same ${name} twice`)
  }

  /** A text, or what is in the file that it names. */
  text(place: string, value: unknown, isFile: boolean): string | undefined {
    if (typeof value !== 'string') return this.refuse(place, 'must be a text')
    if (!isFile) return value
    try {
      return readFileSync(resolve(this.#folder, value), 'utf8').replace(/\r?\n$/, '')
    } catch (error) {
      return this.refuse(place, `names a file that cannot be read (${(error as NodeJS.ErrnoException).code})`)
    }
  }
}
