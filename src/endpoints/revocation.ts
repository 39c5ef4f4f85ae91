import { authenticateClient, CLIENT_PARAMETERS, type ClientRequest } from '../grants/authenticate-client.ts'
import type { RequestNotes, TokenServices } from '../grants/grant.ts'
import { readPresentedRefreshToken } from '../grants/read-refresh-token.ts'
import { OAuthError } from '../oauth/errors.ts'
import { requireSingle } from '../oauth/form.ts'
import { familyIdOf } from '../tokens/refresh-token.ts'
import { readAccessToken } from './read-access-token.ts'

/** A request to the revocation endpoint (RFC 7009 section 2.1). */
export interface RevocationRequest extends ClientRequest {
  readonly notes: RequestNotes
}

/**
 * The revocation endpoint (RFC 7009): ends the session that a token belongs to, whichever kind and generation it is.
 *
 * A token that is unknown, over, or another client's is no error (section 2.2), and nothing happens to it. The hint is
 * not needed: the two kinds cannot be mistaken for each other.
 *
 * @throws {OAuthError} `invalid_client` first of all, and `unsupported_token_type` for a client's own access token,
 *   which no session stands behind: it lives until it expires, and saying otherwise would be a lie.
 */
export async function revokeToken(services: TokenServices, request: RevocationRequest): Promise<void> {
  const { form, notes, sender } = request
  requireSingle(form, [...CLIENT_PARAMETERS, 'token', 'token_type_hint'])
  const client = await authenticateClient(services, request)
  notes.client = client
  const token = form.values.get('token')
  if (token === undefined) throw new OAuthError('invalid_request', 'The token is missing')

  const sid = await sessionOf(services, client.clientId, token)
  if (sid === undefined) return
  notes.sid = sid
  if ((await services.store.families.revoke(sid, 'client')) === 'revoked') {
    services.audit({ event: 'session.revoked', client_id: client.clientId, sid, reason: 'client', ...sender })
  }
}

async function sessionOf(
  services: TokenServices,
  clientId: string,
  token: string,
): Promise<string | undefined> {
  const refreshToken = await readPresentedRefreshToken(services, token)
  if (refreshToken) {
    const sid = familyIdOf(refreshToken.handle)
    const { family } = await services.store.families.look(sid)
    return family?.clientId === clientId ? sid : undefined
  }
  const accessToken = await readAccessToken(services, token)
  if (accessToken?.client_id !== clientId) return undefined
  if (accessToken.sid === undefined) {
    throw new OAuthError('unsupported_token_type', 'An access token without a session cannot be revoked')
  }
  return accessToken.sid
}
