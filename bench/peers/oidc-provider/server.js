// oidc-provider with rotation, JWT access tokens for one resource server, and the password grant added by the documented
// way to add a grant type, since it has none of its own.
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { verify } from '@node-rs/argon2'
import { Redis } from 'ioredis'
import Provider, { errors } from 'oidc-provider'
import { RedisAdapter } from './redis-adapter.js'

const { PORT, REDIS_URL, KEY_FILE, REFRESH_SECRET, ISSUER, AUDIENCE } = process.env
const jwk = createPrivateKey(readFileSync(KEY_FILE)).export({ format: 'jwk' })
const directory = new Redis(REDIS_URL)
const ACCESS_SECONDS = 300
const REFRESH_SECONDS = 14 * 86_400
const SCOPE = 'read write'
const resourceServer = {
  scope: SCOPE,
  audience: AUDIENCE,
  accessTokenTTL: ACCESS_SECONDS,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'RS256' } },
}

const provider = new Provider(ISSUER, {
  adapter: RedisAdapter,
  clients: [
    {
      client_id: 'web-app',
      token_endpoint_auth_method: 'none',
      grant_types: ['password', 'refresh_token'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: [{ ...jwk, use: 'sig', alg: 'RS256', kid: 'bench' }] },
  cookies: { keys: [REFRESH_SECRET] },
  scopes: ['openid', 'offline_access', 'read', 'write'],
  findAccount: async (_ctx, sub) => ({ accountId: sub, claims: async () => ({ sub }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: ACCESS_SECONDS, RefreshToken: REFRESH_SECONDS, Grant: REFRESH_SECONDS },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      getResourceServerInfo: () => resourceServer,
      useGrantedResource: () => true,
    },
  },
})

provider.registerGrantType(
  'password',
  async (ctx) => {
    const { client, params } = ctx.oidc
    const row = await directory.get(`user:${params.username}`)
    const user = row ? JSON.parse(row) : undefined
    if (!user || !(await verify(user.passwordHash, params.password))) {
      throw new errors.InvalidGrant('the user name or the password is wrong')
    }
    const accountId = user.id
    const grant = new provider.Grant({ accountId, clientId: client.clientId })
    grant.addResourceScope(AUDIENCE, SCOPE)
    const grantId = await grant.save()
    const both = { accountId, client, grantId, gty: 'password' }

    const accessToken = new provider.AccessToken({ ...both, scope: SCOPE })
    accessToken.resourceServer = new provider.ResourceServer(AUDIENCE, resourceServer)
    ctx.oidc.entity('AccessToken', accessToken)
    const refreshToken = new provider.RefreshToken({
      ...both,
      scope: SCOPE,
      resource: AUDIENCE,
      rotations: 0,
      authTime: Math.floor(Date.now() / 1000),
    })
    ctx.oidc.entity('RefreshToken', refreshToken)
    ctx.body = {
      access_token: await accessToken.save(),
      expires_in: accessToken.expiration,
      token_type: accessToken.tokenType,
      refresh_token: await refreshToken.save(),
      scope: SCOPE,
    }
  },
  ['username', 'password', 'scope'],
)

provider.listen(Number(PORT), '127.0.0.1')
