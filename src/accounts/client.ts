import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { newEpoch } from './user.ts'

/** The grants a client may be registered for. */
export const GRANT_TYPES = ['password', 'refresh_token'] as const
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

// RFC 6749 appendix A.1 allows %x20-7E; these are the ones that no encoding of Basic credentials can change.
const CLIENT_ID = /^[A-Za-z0-9._~-]{1,64}$/

/** Why a text is refused as a new client identifier, or `undefined` when it is fine. */
export function clientIdFault(clientId: string): string | undefined {
  return CLIENT_ID.test(clientId) ? undefined : 'is not 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -'
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
    disabled: false,
    epoch: newEpoch(),
    createdAt: Date.now(),
    onReuse: 'enforce',
    ...registration,
  }
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
