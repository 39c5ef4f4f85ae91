import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { SigningAlg } from '../tokens/signing-key.ts'
import type { ExtraClaims } from './extra-claims.ts'
import { newEpoch } from './user.ts'

/** The grants a client may be registered for. */
export const GRANT_TYPES = ['password', 'refresh_token', 'client_credentials'] as const
export type GrantType = (typeof GRANT_TYPES)[number]

/** A registered client (RFC 6749 section 2). */
export interface Client {
  readonly clientId: string
  /** RFC 6749 section 2.1. */
  readonly type: 'public' | 'confidential'
  /** SHA-256, base64url. A slow hash would add nothing to 256 random bits. */
  readonly secretHash?: string
  readonly grants: readonly GrantType[]
  readonly scopes: readonly string[]
  /** What its access tokens are for; empty means the server's default. */
  readonly audiences: readonly string[]
  /** Origins whose pages may read its answers (CORS); for browser-based apps. */
  readonly origins: readonly string[]
  /** Whether it may introspect access tokens of other clients that are for one of its audiences. */
  readonly mayIntrospect: boolean
  /** The `typ` of its access tokens: RFC 9068's, or the plain one for verifiers that refuse it. */
  readonly accessTokenTyp: 'at+jwt' | 'JWT'
  /** What its access tokens and the answers to its introspections are signed with; the server's default where absent. */
  readonly signingAlg?: SigningAlg
  /** Claims that its access tokens carry besides. */
  readonly claims: ExtraClaims
  /** Audiences that it once had: sessions that were granted them have them no more. */
  readonly withdrawnAudiences: readonly string[]
  readonly disabled: boolean
  /** See `User.epoch`. */
  readonly epoch: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** The client's own settings, each in seconds; the server's where absent. */
  readonly accessTokenTtl?: number
  readonly refreshTokenIdleTtl?: number
  readonly refreshTokenMaxTtl?: number
  readonly refreshTokenGrace?: number
  /** `observe` only counts and logs what `enforce` would have ended. */
  readonly onReuse: 'enforce' | 'observe'
}

// RFC 6749 appendix A.1 allows %x20-7E; these are the ones that no encoding of Basic credentials can change. A `sub`
// of ours begins with usr_: the `sub` of a client's own token is its identifier and must be nobody else's.
const CLIENT_ID = /^(?!usr_)[A-Za-z0-9._~-]{1,64}$/

/** Why a text is refused as a new client identifier, or `undefined` when it is fine. */
export function clientIdFault(clientId: string): string | undefined {
  return CLIENT_ID.test(clientId)
    ? undefined
    : 'is not 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -, or begins with usr_'
}

/** Whether the text can be an `aud` of ours (RFC 7519 section 4.1.3): printable ASCII without a space. */
export function isAudience(text: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(text)
}

/** A client of this registration, not yet in any store. */
export function newClient(
  registration: Pick<Client, 'clientId' | 'type' | 'grants'> & Partial<Client>,
): Client {
  return {
    scopes: [],
    audiences: [],
    origins: [],
    mayIntrospect: false,
    accessTokenTyp: 'at+jwt',
    claims: {},
    withdrawnAudiences: [],
    disabled: false,
    epoch: newEpoch(),
    createdAt: Date.now(),
    onReuse: 'enforce',
    ...registration,
  }
}

/** Whether the text is an origin as browsers send it (RFC 6454 section 7). */
export function isOrigin(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text
}

/** A change of a client's registration, which remembers the audiences that the client loses by it. */
export function withRegistration<C extends Partial<Client>>(
  client: Client,
  change: C,
): C & Pick<Client, 'withdrawnAudiences'> {
  const had = new Set([...client.withdrawnAudiences, ...client.audiences])
  const has = change.audiences ?? client.audiences
  return { ...change, withdrawnAudiences: [...had].filter((audience) => !has.includes(audience)) }
}

/** Draws a client secret of 256 bits. The prefix lets secret scanners find one that leaked. */
export function newClientSecret(): string {
  return `pcs_${randomBytes(32).toString('base64url')}`
}

/** What is stored of a client secret. */
export function hashClientSecret(secret: string): string {
  return hash('sha256', secret, 'base64url')
}

const NO_SECRET = hashClientSecret(newClientSecret())

/** Whether the secret is the client's; takes the same time for a client that has none or is unknown. */
export function isClientSecret(client: Client | undefined, secret: string): boolean {
  const expected = Buffer.from(client?.secretHash ?? NO_SECRET)
  const equal = timingSafeEqual(Buffer.from(hashClientSecret(secret)), expected)
  return equal && client?.secretHash !== undefined
}
