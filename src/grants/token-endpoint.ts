import { GRANT_TYPES, type GrantType } from '../accounts/client.ts'
import { OAuthError } from '../oauth/errors.ts'
import type { Form } from '../oauth/form.ts'
import { parseScope } from '../oauth/scope.ts'
import { signAccessToken } from '../tokens/access-token.ts'
import type { Sender } from '../tokens/family.ts'
import { mintRefreshToken } from '../tokens/refresh-token.ts'
import { authenticateClient } from './authenticate-client.ts'
import type { Grant, Granted, RequestNotes, TokenServices } from './grant.ts'
import { passwordGrant } from './password.ts'
import { refreshTokenGrant } from './refresh-token.ts'

/** A request to the token endpoint (RFC 6749 section 3.2). */
export interface TokenRequest {
  readonly form: Form
  /** The `Authorization` header. */
  readonly authorization: string | undefined
  readonly sender: Sender
  readonly notes: RequestNotes
}

/** A successful answer (RFC 6749 section 5.1). */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token?: string
  readonly scope: string
}

const GRANTS: Record<GrantType, Grant> = {
  password: passwordGrant,
  refresh_token: refreshTokenGrant,
}

/** The parameters that mean something to us, and so may not be repeated (RFC 6749 section 3.2). */
const PARAMETERS = [
  'grant_type',
  'client_id',
  'client_secret',
  'username',
  'password',
  'refresh_token',
  'scope',
]

/**
 * The token endpoint, front to back: one pipeline owns every step that grants share, and a grant only its difference.
 *
 * @throws {OAuthError} when the request, the client or the grant is at fault.
 * @throws {UnavailableError} when we are.
 */
export async function requestToken(services: TokenServices, request: TokenRequest): Promise<TokenResponse> {
  const { form, notes } = request
  if (form.repeated.size > 0 && PARAMETERS.some((name) => form.repeated.has(name))) {
    throw new OAuthError('invalid_request', 'A parameter is repeated')
  }
  const grantType = readGrantType(form.values.get('grant_type'))
  notes.grant_type = grantType
  const client = await authenticateClient(services.store.clients, request.authorization, form)
  notes.client_id = client.clientId
  if (!client.grants.includes(grantType)) {
    throw new OAuthError('unauthorized_client', 'The client is not registered for this grant type')
  }
  const scopeText = form.values.get('scope')
  const scope = scopeText === undefined ? undefined : parseScope(scopeText)
  const granted = await GRANTS[grantType](services, { ...request, client, scope })
  return issueTokens(
    services,
    client.accessTokenTtl ?? services.settings.accessTokenTtl,
    client.clientId,
    granted,
  )
}

function readGrantType(text: string | undefined): GrantType {
  if (text === undefined) throw new OAuthError('invalid_request', 'The grant_type is missing')
  const grantType = GRANT_TYPES.find((known) => known === text)
  if (!grantType) throw new OAuthError('unsupported_grant_type', 'The grant_type is not supported')
  return grantType
}

/** @param ttl of the access token in seconds. */
async function issueTokens(
  services: TokenServices,
  ttl: number,
  clientId: string,
  granted: Granted,
): Promise<TokenResponse> {
  const now = seconds(granted.now)
  // A repeat gets the token of its generation once more, unless that one's time is over.
  const iat = seconds(granted.issuedAt) + ttl > now ? seconds(granted.issuedAt) : now
  const exp = Math.min(iat + ttl, seconds(granted.endsAt))
  const accessToken = await signAccessToken(services.signing, services.sign, {
    iss: services.settings.issuer,
    sub: granted.sub,
    aud: granted.audience,
    exp,
    iat,
    clientId,
    scope: granted.scope,
    authTime: seconds(granted.signedInAt),
    sid: granted.sid,
    generation: granted.generation,
  })
  return {
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: exp - now,
    ...(granted.handle && {
      refresh_token: mintRefreshToken(services.refreshSecrets, {
        handle: granted.handle,
        generation: granted.generation,
      }),
    }),
    scope: granted.scope.join(' '),
  }
}

const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000)
