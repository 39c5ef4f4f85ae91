import type { Client } from '../accounts/client.ts'
import type { ExtraClaims } from '../accounts/extra-claims.ts'
import type { PasswordHashing } from '../accounts/password-hashing.ts'
import type { Audit } from '../audit/event.ts'
import type { Form } from '../oauth/form.ts'
import type { Store } from '../stores/contract.ts'
import type { Sender } from '../tokens/family.ts'
import type { RefreshSecretRing } from '../tokens/refresh-token.ts'
import type { Sign, SigningKeys } from '../tokens/signing-key.ts'
import type { VerifyWebhook } from '../webhooks/verify-webhook.ts'
import type { AuthenticatedClient } from './authenticate-client.ts'
import type { FailureThrottle } from './failure-throttle.ts'
import type { Rehashing } from './rehash.ts'
import type { SignInBudgets } from './sign-in-budgets.ts'
import type { WaitingLines } from './waiting-lines.ts'

/** What the token endpoint works with. */
export interface TokenServices {
  readonly store: Store
  readonly passwords: PasswordHashing
  /** Where users without a password here are verified, if anywhere. */
  readonly verifyWebhook: VerifyWebhook | undefined
  readonly rehashing: Rehashing
  readonly signing: SigningKeys
  readonly sign: Sign
  readonly refreshSecrets: RefreshSecretRing
  /** Looks whether the rings have changed. @throws Error while that cannot be seen. */
  readonly lookForKeys: () => Promise<void>
  readonly audit: Audit
  /** Failed client authentications. */
  readonly clientFailures: FailureThrottle
  /** Sign-ins that wait until it is known what becomes of others. */
  readonly signInLines: WaitingLines
  readonly settings: TokenSettings
}

/** The server's settings, which a client's own override. Durations are seconds. */
export interface TokenSettings extends SignInBudgets {
  readonly issuer: string
  readonly defaultAudience: string
  readonly accessTokenTtl: number
  readonly refreshTokenIdleTtl: number
  readonly refreshTokenMaxTtl: number
  readonly refreshTokenGrace: number
  /** 0 for any number. */
  readonly maxSessionsPerUser: number
}

/** A token request whose client is authenticated and may use the grant. */
export interface GrantRequest {
  readonly client: AuthenticatedClient
  readonly form: Form
  /** The `scope` parameter, where there is one. */
  readonly scope: readonly string[] | undefined
  readonly sender: Sender
  /** Works out the IPv4 /24 or IPv6 /64 it comes from. */
  readonly prefix: () => string
  readonly notes: RequestNotes
}

/** What is worth a word about a request in its log line; filled in along the way, never with a secret. */
export interface RequestNotes {
  client?: Client
  grant_type?: string
  sid?: string
  /** The case of the decision table. */
  decision?: string
  /** Of an older token: the time since the family's last rotation, by the store's clock. */
  replay_age_ms?: number
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
  /** Resolves when the store has kept it, where that is not so yet: until then nobody is told. */
  readonly kept?: Promise<unknown> | undefined
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
