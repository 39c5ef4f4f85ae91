import { OAuthError } from '../oauth/errors.ts'
import { isWithin } from '../oauth/scope.ts'
import { audienceOf, type Grant } from './grant.ts'

/**
 * The client credentials grant (RFC 6749 section 4.4): the client on its own behalf. There is no session, nothing is
 * stored, and there is no refresh token (section 4.4.3).
 */
export const clientCredentialsGrant: Grant = async ({ settings }, { client, scope }) => {
  // Section 4.4: MUST only be used by confidential clients.
  if (client.type !== 'confidential') {
    throw new OAuthError('unauthorized_client', 'The grant type is for confidential clients only')
  }
  if (scope && !isWithin(scope, client.scopes)) {
    throw new OAuthError('invalid_scope', 'The scope is beyond what the client may ask for')
  }
  const now = Date.now()
  return {
    sub: client.clientId,
    scope: scope ?? client.scopes,
    audience: audienceOf(client, settings),
    claims: {},
    issuedAt: now,
    now,
    session: undefined,
  }
}
