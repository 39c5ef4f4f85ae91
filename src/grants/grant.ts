import type { Client } from '../accounts/client.ts'
import type { ExtraClaims } from '../accounts/extra-claims.ts'
import type { PasswordHashing } from '../accounts/password-hashing.ts'
import type { Form } from '../oauth/form.ts'
import type { Store } from '../stores/contract.ts'
import type { Sender } from '../tokens/family.ts'
import type { RefreshSecretRing } from '../tokens/refresh-token.ts'
import type { Sign, SigningKeys } from '../tokens/signing-key.ts'
import type { Audit } from './audit.ts'
import type { AuthenticatedClient } from './authenticate-client.ts'
import type { FailureThrottle } from './failure-throttle.ts'
import type { Rehashing } from './rehash.ts'

/** What the token endpoint works with. */
export interface TokenServices {
  readonly store: Store
  readonly passwords: PasswordHashing
  readonly rehashing: Rehashing
  readonly signing: SigningKeys
  readonly sign: Sign
  readonly refreshSecrets: RefreshSecretRing
  readonly audit: Audit
  /** Failed client authentications. */
  readonly clientFailures: FailureThrottle
  readonly settings: TokenSettings
}

/** The server's settings, which a client's own override. Durations are seconds. */
export interface TokenSettings {
  readonly issuer: string
  readonly defaultAudience: string
  readonly accessTokenTtl: number
  readonly refreshTokenIdleTtl: number
  readonly refreshTokenMaxTtl: number
  readonly refreshTokenGrace: number
}

/** A token request whose client is authenticated and may use the grant. */
export interface GrantRequest {
  readonly client: AuthenticatedClient
  readonly form: Form
  /** The `scope` parameter, where there is one. */
  readonly scope: readonly string[] | undefined
  readonly sender: Sender
  readonly notes: RequestNotes
}

/** What is worth a word about a request in its log line; filled in along the way, never with a secret. */
export interface RequestNotes {
  client?: Client
  grant_type?: string
  sid?: string
  /** The case of the decision table. */
  decision?: string
}

/** What a grant grants. Times are milliseconds by the store's clock. */
export interface Granted {
  readonly sub: string
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  /** The user's own claims. */
  readonly claims: ExtraClaims
  /** When what is granted came to be: from then on its access token counts. */
  readonly issuedAt: number
  readonly now: number
  /** None where the client asked on its own behalf. */
  readonly session: GrantedSession | undefined
}

export interface GrantedSession {
  readonly sid: string
  readonly generation: number
  readonly signedInAt: number
  /** The session's absolute end, which its access tokens do not outlive. */
  readonly endsAt: number
  /** The family's handle, where there is to be a refresh token. */
  readonly handle: Buffer | undefined
}

/** One grant type: only its difference; everything that grants share is the pipeline's. */
export type Grant = (services: TokenServices, request: GrantRequest) => Promise<Granted>

/** What the client's access tokens are for. */
export function audienceOf(client: Pick<Client, 'audiences'>, settings: TokenSettings): readonly string[] {
  return client.audiences.length > 0 ? client.audiences : [settings.defaultAudience]
}
