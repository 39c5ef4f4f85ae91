import type { Client } from '../accounts/client.ts'
import {
  type AuthenticatedClient,
  authenticateClient,
  CLIENT_PARAMETERS,
  type ClientRequest,
} from '../grants/authenticate-client.ts'
import { audienceOf, type RequestNotes, type TokenServices } from '../grants/grant.ts'
import { isLive, judge, withoutWithdrawn } from '../grants/judge.ts'
import { readPresentedRefreshToken } from '../grants/read-refresh-token.ts'
import { OAuthError } from '../oauth/errors.ts'
import { requireSingle } from '../oauth/form.ts'
import { isWithin, words } from '../oauth/scope.ts'
import type { FamilyView } from '../stores/contract.ts'
import type { VerifiedAccessToken } from '../tokens/access-token.ts'
import { signJwt } from '../tokens/jwt.ts'
import { familyIdOf, type RefreshToken } from '../tokens/refresh-token.ts'
import { readAccessToken } from './read-access-token.ts'

/** A request to the introspection endpoint (RFC 7662 section 2.1). */
export interface IntrospectionRequest extends ClientRequest {
  readonly notes: RequestNotes
}

/** What is said of a token (RFC 7662 section 2.2). Of one that is not active: that, and nothing else. */
export type Introspection = { readonly active: false } | ({ readonly active: true } & Record<string, unknown>)

const INACTIVE = { active: false } as const

/**
 * The introspection endpoint (RFC 7662).
 *
 * A confidential client sees its own tokens. One that may introspect sees, besides, the access tokens of others that
 * are for one of its audiences: it is a resource server. Nobody sees another's refresh token.
 *
 * @returns what is said, and to whom.
 * @throws {OAuthError} `invalid_client` for a public client as well (section 2.1: the endpoint MUST require authorization).
 */
export async function introspectToken(
  services: TokenServices,
  request: IntrospectionRequest,
): Promise<{ caller: AuthenticatedClient; introspection: Introspection }> {
  const { form, notes } = request
  requireSingle(form, [...CLIENT_PARAMETERS, 'token', 'token_type_hint'])
  if (request.authorization === undefined && !form.values.has('client_id')) {
    throw new OAuthError('invalid_client', 'Client authentication failed', 'no client authentication')
  }
  const caller = await authenticateClient(services, request)
  notes.client = caller
  if (caller.type === 'public') {
    throw new OAuthError('invalid_client', 'Client authentication failed', 'a public client')
  }
  const token = form.values.get('token')
  if (token === undefined) throw new OAuthError('invalid_request', 'The token is missing')

  const refreshToken = await readPresentedRefreshToken(services, token)
  if (refreshToken) {
    return { caller, introspection: await introspectRefreshToken(services, caller, refreshToken) }
  }
  const accessToken = await readAccessToken(services, token)
  const isVisible = accessToken !== undefined && maySee(services, caller, accessToken)
  return { caller, introspection: isVisible ? await introspectAccessToken(services, accessToken) : INACTIVE }
}

/** The answer as a signed JWT (RFC 9701 section 5). */
export function signIntrospection(
  { signing, sign, settings }: TokenServices,
  caller: Client,
  introspection: Introspection,
): Promise<string> {
  const payload = {
    iss: settings.issuer,
    aud: caller.clientId,
    iat: Math.floor(Date.now() / 1000),
    token_introspection: introspection,
  }
  return signJwt(signing.of(caller.signingAlg), sign, 'token-introspection+jwt', JSON.stringify(payload))
}

function maySee(
  { settings }: TokenServices,
  caller: Client,
  { client_id, aud }: VerifiedAccessToken,
): boolean {
  if (client_id === caller.clientId) return true
  if (!caller.mayIntrospect) return false
  const audience = Array.isArray(aud) ? aud : [aud]
  return audienceOf(caller, settings).some((one) => audience.includes(one))
}

async function introspectAccessToken(
  services: TokenServices,
  token: VerifiedAccessToken,
): Promise<Introspection> {
  const { store, settings } = services
  const client = await store.clients.find(token.client_id)
  if (!client || client.disabled) return INACTIVE
  if (token.sid === undefined) {
    // A client's own: no other has no session.
    if (token.sub !== client.clientId) return INACTIVE
  } else {
    const view = await store.families.look(token.sid)
    if (!isLive(settings, client, view) || !isAsGranted(token, view)) return INACTIVE
  }
  return { ...token, active: true, token_type: 'Bearer' }
}

/** Whether its session has what the token says: one forged under a stolen key may say anything of any session. */
function isAsGranted({ sub, scope, aud }: VerifiedAccessToken, { user, family }: FamilyView): boolean {
  if (user?.sub !== sub || !family) return false
  return isWithin(words(scope), family.scope) && isWithin([aud].flat(), family.audience)
}

async function introspectRefreshToken(
  { store, settings }: TokenServices,
  caller: Client,
  token: RefreshToken,
): Promise<Introspection> {
  const sid = familyIdOf(token.handle)
  const view = await store.families.look(sid)
  const { user } = view
  const family = view.family && withoutWithdrawn(caller, view.family)
  if (!family || !user || !caller.grants.includes('refresh_token')) return INACTIVE
  // A refresh would be refused, whatever else there is to it.
  if (family.audience.length === 0) return INACTIVE
  const presented = { client: caller, generation: token.generation, sender: family.lastSender }
  const { kind } = judge(settings, presented, view)
  if (kind !== 'rotate' && kind !== 'repeat' && kind !== 'heal' && kind !== 'reuse_observed') return INACTIVE
  return {
    active: true,
    iss: settings.issuer,
    sub: user.sub,
    aud: family.audience.length === 1 ? family.audience[0] : family.audience,
    client_id: family.clientId,
    scope: family.scope.join(' '),
    iat: Math.floor(family.rotatedAt / 1000),
    exp: Math.floor(family.expiresAt / 1000),
    auth_time: Math.floor(family.createdAt / 1000),
    sid,
  }
}
