import { type Client, GRANT_TYPES, isAudience } from '../accounts/client.ts'
import { claimsFault, type ExtraClaims } from '../accounts/extra-claims.ts'
import { type User, userLocator } from '../accounts/user.ts'
import { UnavailableError } from '../oauth/errors.ts'
import { isScopeToken } from '../oauth/scope.ts'
import { ACCESS_TOKEN_TYPES } from '../tokens/access-token.ts'
import { type Family, REVOCATION_REASONS } from '../tokens/family.ts'
import { MAX_GENERATION } from '../tokens/refresh-token.ts'
import { SIGNING_ALGS } from '../tokens/signing-key.ts'

/*
 * What a store holds may have been damaged: by a disk, by a hand, by somebody who should not have been there. A record is
 * gone by only if it is one that we could have written; anything else is our own trouble, not the end of a session, and
 * never a reason to grant more. A record that holds what we might have written is believed: docs/security.md says what
 * that means for a store that others may write to.
 */

/** Ten years, the longest that a session can be configured to live, and an access token's day. */
export const MAX_LIFE_S = 316_224_000
const MAX_ACCESS_TOKEN_LIFE_S = 86_400

/** Our own trouble, which the client is told may pass. Which record it is stands in the log alone. */
export class DamagedRecordError extends UnavailableError {}

/** For what is not made by a hand, by the first word of what it is called. */
const MENDS: Readonly<Record<string, string>> = {
  session: 'restore it from a backup, or leave it to its end',
  attempts: 'it is cleared away by itself, or by pawl user unlock',
  audit: 'restore it from a backup, or leave it until newer ones have taken its place',
}

/** @param record completes "the record of …". */
export function damaged(record: string, fault: string): DamagedRecordError {
  const mend = MENDS[record.split(' ', 1)[0]!] ?? 'restore it from a backup, or delete it and make it anew'
  const cause = new Error(`the record of ${record} ${fault}; ${mend}`)
  return new DamagedRecordError('A record in the store is damaged', { cause })
}

/** What is read of a record before it is known to be sound. */
type Read = Readonly<Record<string, unknown>>
type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isFlag: Check = (value) => typeof value === 'boolean'
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
/** Milliseconds since 1970. */
const isTime = isCount
const isOneOf =
  (values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string)
const isListOf =
  (check: (text: string) => boolean): Check =>
  (value) =>
    Array.isArray(value) && value.every((one) => typeof one === 'string' && check(one))
const isAtMost =
  (limit: number): Check =>
  (value) =>
    isCount(value) && (value as number) <= limit
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const isMade: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isMadeOf =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isMade(value) && faultOf(value as Read, checks) === undefined

// Nearly every account has none, and a refresh should not pay for the others.
const isClaims: Check = (value) =>
  isMade(value) && (Object.keys(value as ExtraClaims).length === 0 || claimsFault(value) === undefined)

const FAMILY: Readonly<Record<keyof Family, Check>> = {
  id: isText,
  generation: isAtMost(MAX_GENERATION),
  rotatedAt: isTime,
  clientId: isText,
  scope: isListOf(isScopeToken),
  audience: isListOf(isAudience),
  createdAt: isTime,
  endsAt: isTime,
  expiresAt: isTime,
  userEpoch: isCount,
  clientEpoch: isCount,
  isBrief: optional(isFlag),
  revoked: optional(isMadeOf({ reason: isOneOf(REVOCATION_REASONS), at: isTime })),
  lastSender: isMadeOf({ network: isText, agent: isText }),
  replays: isCount,
  lockstep: isMadeOf({ generation: isCount, run: isCount }),
}

const USER: Readonly<Record<keyof User, Check>> = {
  sub: isText,
  username: isText,
  passwordHash: optional(isText),
  disabled: isFlag,
  claims: isClaims,
  epoch: isCount,
  createdAt: isTime,
}

/** What a family is held against of its user. */
export const OF_USER = { sub: USER.sub, epoch: USER.epoch, claims: USER.claims }

const CLIENT: Readonly<Record<keyof Client, Check>> = {
  clientId: isText,
  type: isOneOf(['public', 'confidential']),
  // As long as every SHA-256 is: the comparison takes no other.
  secretHash: optional((value) => typeof value === 'string' && /^[\w-]{43}$/.test(value)),
  grants: isListOf((grant) => (GRANT_TYPES as readonly string[]).includes(grant)),
  scopes: isListOf(isScopeToken),
  audiences: isListOf(isAudience),
  origins: isListOf(() => true),
  mayIntrospect: isFlag,
  accessTokenTyp: isOneOf(ACCESS_TOKEN_TYPES),
  signingAlg: optional(isOneOf(SIGNING_ALGS)),
  claims: isClaims,
  withdrawnAudiences: isListOf(() => true),
  disabled: isFlag,
  epoch: isCount,
  createdAt: isTime,
  accessTokenTtl: optional(isAtMost(MAX_ACCESS_TOKEN_LIFE_S)),
  refreshTokenIdleTtl: optional(isAtMost(MAX_LIFE_S)),
  refreshTokenMaxTtl: optional(isAtMost(MAX_LIFE_S)),
  refreshTokenGrace: optional(isAtMost(MAX_LIFE_S)),
  onReuse: isOneOf(['enforce', 'observe']),
}

/** The first member that no record of ours has so. */
function faultOf(record: Read, checks: Readonly<Record<string, Check>>): string | undefined {
  for (const name in checks) if (!checks[name]!(record[name])) return name
  return undefined
}

function requireSound(of: string, record: unknown, checks: Readonly<Record<string, Check>>): Read {
  if (!isMade(record)) throw damaged(of, 'cannot be read')
  const fault = faultOf(record as Read, checks)
  if (fault !== undefined) throw damaged(of, `has a ${fault} that cannot be`)
  return record as Read
}

/**
 * The family under this id.
 *
 * @throws {UnavailableError} when no store of ours wrote it there.
 */
export function soundFamily(id: string, record: unknown): Family {
  const family = requireSound(`session ${id}`, record, FAMILY) as unknown as Family
  if (family.id !== id) throw damaged(`session ${id}`, 'is that of another session')
  if (family.endsAt - family.createdAt > 1000 * MAX_LIFE_S)
    throw damaged(`session ${id}`, 'has an absolute end that cannot be')
  return family
}

/**
 * The user at this locator, or what a family is held against of it.
 *
 * @throws {UnavailableError} when no store of ours wrote it there. The locator stands in every token of the user, under
 *   its MAC: so a token is never answered with somebody else's `sub`, whatever the store says.
 */
export function soundUser<Member extends keyof User>(
  locator: string,
  record: unknown,
  checks: Readonly<Record<'sub' | Member, Check>> = USER as Readonly<Record<'sub' | Member, Check>>,
): Pick<User, Member> {
  const of = `the user at ${locator}`
  const user = requireSound(of, record, checks) as unknown as User
  if (userLocator(user.sub) !== locator) throw damaged(of, 'is that of another user')
  return user
}

/**
 * The client of this identifier.
 *
 * @throws {UnavailableError} when no store of ours wrote it there.
 */
export function soundClient(clientId: string, record: unknown): Client {
  const of = `client ${clientId}`
  const client = requireSound(of, record, CLIENT) as unknown as Client
  if (client.clientId !== clientId) throw damaged(of, 'is that of another client')
  // Otherwise one word, changed in the store, would make the secret needless.
  if ((client.type === 'confidential') !== (client.secretHash !== undefined))
    throw damaged(of, 'has a secret where there is none, or none where there is one')
  return client
}

/** Reads JSON that is part of a record. @throws {UnavailableError} when it is none. */
export function jsonOf(record: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw damaged(record, 'cannot be read')
  }
}

/** Whether it has the form of what leads from a user name to its user. LMDB throws at a key that is something else. */
export function isLocator(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{12}$/.test(value)
}

/**
 * Reads a record that may be damaged even as a value.
 *
 * @returns `undefined` for no record.
 * @throws {UnavailableError} when it is damaged.
 */
export function readSound<T>(of: string, read: () => unknown, sound: (record: unknown) => T): T | undefined {
  let record: unknown
  try {
    record = read()
  } catch {
    throw damaged(of, 'cannot be read')
  }
  return record === undefined ? undefined : sound(record)
}

/** Reads many records. A damaged one keeps no other from being listed, and is told of at the end. */
export async function* allSound<T>(
  batches: Iterable<readonly ReadOne<T>[]> | AsyncIterable<readonly ReadOne<T>[]>,
): AsyncGenerator<T> {
  let first: DamagedRecordError | undefined
  for await (const batch of batches) {
    const found = await Promise.all(
      batch.map((read) =>
        read().catch((error: unknown) => {
          if (!(error instanceof DamagedRecordError)) throw error
          first ??= error
          return undefined
        }),
      ),
    )
    yield* found.filter((record) => record !== undefined)
  }
  if (first) throw first
}

type ReadOne<T> = () => Promise<T | undefined>

/** The same listing, for whoever goes by what was found: a damaged record is told of, and not thrown. */
export async function* passingOver<T>(
  list: AsyncIterable<T>,
  onDamage: (fault: DamagedRecordError) => void,
): AsyncGenerator<T> {
  try {
    yield* list
  } catch (error) {
    if (!(error instanceof DamagedRecordError)) throw error
    onDamage(error)
  }
}

/**
 * Reads a listing to its end, or as far as `limit`.
 *
 * @returns what was found, and the damaged record that was passed over, if any: to be thrown when all else is done.
 */
export async function gather<T>(list: AsyncIterable<T>, limit = Number.POSITIVE_INFINITY) {
  const found: T[] = []
  let fault: DamagedRecordError | undefined
  const onDamage = (damage: DamagedRecordError) => {
    fault = damage
  }
  for await (const one of passingOver(list, onDamage)) {
    found.push(one)
    if (found.length >= limit) break
  }
  return { found, fault: fault as DamagedRecordError | undefined }
}
