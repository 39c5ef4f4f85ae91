import * as oauth from 'oauth4webapi'
import type { ClientLibrary } from '../client-library.ts'

// Only for http on loopback; with https there is nothing to allow.
const http = { [oauth.allowInsecureRequests]: true }

export const oauth4webapi: ClientLibrary = {
  name: 'oauth4webapi',

  async connect({ issuer, clientId, secret, method }) {
    const url = new URL(issuer)
    const discovery = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...http })
    const as = await oauth.processDiscoveryResponse(url, discovery)
    const client: oauth.Client = { client_id: clientId }
    const authentication = {
      client_secret_basic: oauth.ClientSecretBasic,
      client_secret_post: oauth.ClientSecretPost,
      none: oauth.None,
    }[method](secret)

    async function introspect(token: string, requestJwtResponse: boolean) {
      const options = { requestJwtResponse, ...http }
      const response = await oauth.introspectionRequest(as, client, authentication, token, options)
      const answer = await oauth.processIntrospectionResponse(as, client, response)
      if (requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response, http)
      return answer
    }

    return {
      discovered: as.issuer,
      async password(username, password) {
        const parameters = { username, password }
        const response = await oauth.genericTokenEndpointRequest(
          as,
          client,
          authentication,
          'password',
          parameters,
          http,
        )
        return oauth.processGenericTokenEndpointResponse(as, client, response)
      },
      async refresh({ refresh_token = '' }, scope) {
        const options = { ...http, ...(scope !== undefined && { additionalParameters: { scope } }) }
        const response = await oauth.refreshTokenGrantRequest(
          as,
          client,
          authentication,
          refresh_token,
          options,
        )
        return oauth.processRefreshTokenResponse(as, client, response)
      },
      async clientCredentials() {
        const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, {}, http)
        return oauth.processClientCredentialsResponse(as, client, response)
      },
      async revoke(tokens, hint) {
        const options = { additionalParameters: { token_type_hint: hint }, ...http }
        const token = tokens[hint] ?? ''
        await oauth.processRevocationResponse(
          await oauth.revocationRequest(as, client, authentication, token, options),
        )
      },
      introspect: (token) => introspect(token, false),
      introspectSigned: (token) => introspect(token, true),
    }
  },

  errorOf(thrown) {
    if (thrown instanceof oauth.ResponseBodyError) return { status: thrown.status, code: thrown.error }
    // A 401 with a challenge is thrown as that challenge, before the body is read.
    if (thrown instanceof oauth.WWWAuthenticateChallengeError)
      return { status: thrown.status, code: undefined }
    const response = thrown instanceof oauth.OperationProcessingError ? thrown.cause : undefined
    return { status: response instanceof Response ? response.status : undefined, code: undefined }
  },
}
