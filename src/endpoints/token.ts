import { randomUUID } from 'node:crypto'
import { type Client, GRANT_TYPES, type GrantType } from '../accounts/client.ts'
import { authenticateClient, CLIENT_PARAMETERS, type ClientRequest } from '../grants/authenticate-client.ts'
import { clientCredentialsGrant } from '../grants/client-credentials.ts'
import type { Grant, Granted, RequestNotes, TokenServices } from '../grants/grant.ts'
import { passwordGrant } from '../grants/password.ts'
import { refreshTokenGrant } from '../grants/refresh-token.ts'
import { OAuthError } from '../oauth/errors.ts'
import { requireSingle } from '../oauth/form.ts'
import { parseScope } from '../oauth/scope.ts'
import { signAccessToken } from '../tokens/access-token.ts'
import { mintRefreshToken } from '../tokens/refresh-token.ts'

/** A request to the token endpoint (RFC 6749 section 3.2). */
export interface TokenRequest extends ClientRequest {
  readonly notes: RequestNotes
}

/** A successful answer (RFC 6749 section 5.1). */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token?: string | undefined
  readonly scope: string
}

const GRANTS: Record<GrantType, Grant> = {
  password: passwordGrant,
  refresh_token: refreshTokenGrant,
  client_credentials: clientCredentialsGrant,
}

/** The parameters that mean something to us, and so may not be repeated (RFC 6749 section 3.2). */
const PARAMETERS = [...CLIENT_PARAMETERS, 'grant_type', 'username', 'password', 'refresh_token', 'scope']

/**
 * The token endpoint, front to back: one pipeline owns every step that grants share, and a grant only its difference.
 *
 * @throws {OAuthError} when the request, the client or the grant is at fault.
 * @throws {UnavailableError} when we are.
 */
export async function requestToken(services: TokenServices, request: TokenRequest): Promise<TokenResponse> {
  const { form, sender, prefix, notes } = request
  requireSingle(form, PARAMETERS)
  const grantType = readGrantType(form.values.get('grant_type'))
  notes.grant_type = grantType
  const client = await authenticateClient(services, request)
  notes.client = client
  if (!client.grants.includes(grantType)) {
    throw new OAuthError('unauthorized_client', 'The client is not registered for this grant type')
  }
  const scopeText = form.values.get('scope')
  const scope = scopeText === undefined ? undefined : parseScope(scopeText)
  const granted = await GRANTS[grantType](services, { client, form, scope, sender, prefix, notes })
  const tokens = await issueTokens(services, client, granted)
  await granted.kept
  return tokens
}

function readGrantType(text: string | undefined): GrantType {
  if (text === undefined) throw new OAuthError('invalid_request', 'The grant_type is missing')
  const grantType = GRANT_TYPES.find((known) => known === text)
  if (!grantType) throw new OAuthError('unsupported_grant_type', 'The grant_type is not supported')
  return grantType
}

async function issueTokens(
  services: TokenServices,
  client: Client,
  granted: Granted,
): Promise<TokenResponse> {
  const { session } = granted
  const ttl = client.accessTokenTtl ?? services.settings.accessTokenTtl
  const now = seconds(granted.now)
  // A repeat gets the token of its generation once more, unless that one's time is over.
  const iat = seconds(granted.issuedAt) + ttl > now ? seconds(granted.issuedAt) : now
  const exp = session ? Math.min(iat + ttl, seconds(session.endsAt)) : iat + ttl
  const accessToken = await signAccessToken(services.signing.of(client.signingAlg), services.sign, {
    iss: services.settings.issuer,
    sub: granted.sub,
    aud: granted.audience,
    exp,
    iat,
    clientId: client.clientId,
    scope: granted.scope,
    authTime: session && seconds(session.signedInAt),
    sid: session?.sid,
    distinction: session ? String(session.generation) : randomUUID(),
    extra: { ...client.claims, ...granted.claims },
    typ: client.accessTokenTyp,
  })
  return {
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: exp - now,
    // An undefined member is none in JSON.
    refresh_token:
      session?.handle &&
      mintRefreshToken(services.refreshSecrets, { handle: session.handle, generation: session.generation }),
    scope: granted.scope.join(' '),
  }
}

const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000)
