import { OAuth2Client, OAuth2HttpError, type OAuth2Token } from '@badgateway/oauth2-client'
import type { ClientLibrary, LibraryTokens } from '../client-library.ts'

export const badgatewayOauth2Client: ClientLibrary = {
  name: '@badgateway/oauth2-client',

  async connect({ issuer, clientId, secret, method }) {
    const client = new OAuth2Client({
      server: issuer,
      // Without this it would look at the root of the host, whatever path the issuer has.
      discoveryEndpoint: `${issuer}/.well-known/oauth-authorization-server`,
      clientId,
      ...(method !== 'none' && { clientSecret: secret, authenticationMethod: method }),
    })
    await client.getEndpoint('tokenEndpoint')
    return {
      // It does not show the metadata, but it is only from there that it has this endpoint now.
      discovered: client.settings.introspectionEndpoint?.replace(/\/introspect$/, ''),
      password: async (username, password) => tokensOf(await client.password({ username, password })),
      refresh: async (tokens, scope) =>
        tokensOf(
          await client.refreshToken(tokenOf(tokens), scope === undefined ? {} : { scope: scope.split(' ') }),
        ),
      clientCredentials: async () => tokensOf(await client.clientCredentials()),
      revoke: (tokens, hint) => client.revoke(tokenOf(tokens), hint),
      introspect: async (token) => ({ ...(await client.introspect(tokenOf({ access_token: token }))) }),
    }
  },

  errorOf(thrown) {
    if (!(thrown instanceof OAuth2HttpError)) return { status: undefined, code: undefined }
    return { status: thrown.httpCode, code: thrown.oauth2Code ?? undefined }
  },
}

function tokensOf({ accessToken, refreshToken, scope }: OAuth2Token): LibraryTokens {
  return { access_token: accessToken, refresh_token: refreshToken ?? undefined, scope: scope?.join(' ') }
}

function tokenOf({ access_token, refresh_token }: LibraryTokens): OAuth2Token {
  return { accessToken: access_token, refreshToken: refresh_token ?? null, expiresAt: null }
}
