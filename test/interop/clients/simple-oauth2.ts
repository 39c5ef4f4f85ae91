import { ClientCredentials, ResourceOwnerPassword } from 'simple-oauth2'
import type { ClientLibrary } from '../client-library.ts'

export const simpleOauth2: ClientLibrary = {
  name: 'simple-oauth2',

  async connect({ issuer, clientId, secret, method }) {
    const config = {
      client: { id: clientId, secret },
      // Whole addresses: a path that begins with a slash would replace that of an issuer which has one.
      auth: { tokenHost: issuer, tokenPath: `${issuer}/token`, revokePath: `${issuer}/revoke` },
      // A public client is one whose secret is empty; it may go either way.
      // By default it takes an answer without a content type, as that of a revocation is, for a failure.
      http: { json: true },
      options: { authorizationMethod: method === 'client_secret_post' ? 'body' : 'header' },
    }
    const users = new ResourceOwnerPassword(config)
    const service = new ClientCredentials(config)
    return {
      password: async (username, password) => (await users.getToken({ username, password })).token,
      refresh: async (tokens, scope) =>
        (await users.createToken(tokens).refresh(scope === undefined ? {} : { scope })).token,
      clientCredentials: async () => (await service.getToken({})).token,
      async revoke(tokens, hint) {
        await users.createToken(tokens).revoke(hint)
      },
    }
  },

  errorOf(thrown) {
    const { output, data } = thrown as {
      output?: { statusCode: number }
      data?: { payload?: { error?: string } }
    }
    return { status: output?.statusCode, code: data?.payload?.error }
  },
}
