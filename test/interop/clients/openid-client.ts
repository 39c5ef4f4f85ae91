import * as openid from 'openid-client'
import type { ClientLibrary } from '../client-library.ts'

export const openidClient: ClientLibrary = {
  name: 'openid-client',

  async connect({ issuer, clientId, secret, method }) {
    const authentication = {
      client_secret_basic: openid.ClientSecretBasic,
      client_secret_post: openid.ClientSecretPost,
      none: openid.None,
    }[method](secret)
    // Only for http on loopback; with https there is nothing to allow.
    const http = { execute: [openid.allowInsecureRequests] }
    const config = await openid.discovery(new URL(issuer), clientId, undefined, authentication, http)

    return {
      discovered: config.serverMetadata().issuer,
      password: (username, password) =>
        openid.genericGrantRequest(config, 'password', { username, password }),
      refresh: ({ refresh_token = '' }, scope) =>
        openid.refreshTokenGrant(config, refresh_token, scope === undefined ? {} : { scope }),
      clientCredentials: () => openid.clientCredentialsGrant(config),
      revoke: (tokens, hint) => openid.tokenRevocation(config, tokens[hint] ?? '', { token_type_hint: hint }),
      introspect: (token) => openid.tokenIntrospection(config, token),
      async introspectSigned(token) {
        // This member of the client's metadata makes the library ask for a JWT; the last one, verify its signature.
        const metadata = { introspection_signed_response_alg: 'RS256' }
        const signed = await openid.discovery(new URL(issuer), clientId, metadata, authentication, {
          execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
        })
        return openid.tokenIntrospection(signed, token)
      },
    }
  },

  errorOf(thrown) {
    if (thrown instanceof openid.ResponseBodyError) return { status: thrown.status, code: thrown.error }
    // A 401 with a challenge is thrown as that challenge, before the body is read.
    if (thrown instanceof openid.WWWAuthenticateChallengeError)
      return { status: thrown.status, code: undefined }
    const response = thrown instanceof openid.ClientError ? thrown.cause : undefined
    return { status: response instanceof Response ? response.status : undefined, code: undefined }
  },
}
