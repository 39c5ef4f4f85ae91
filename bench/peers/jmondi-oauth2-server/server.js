// @jmondi/oauth2-server behind its own Express adapter, with the opaque refresh tokens that it offers: as JWTs they would
// cost a second RSA signature each. Its JwtService signs with HS256 unless it is told otherwise, hence the subclass.
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { AuthorizationServer, DateInterval, JwtService, OAuthException } from '@jmondi/oauth2-server'
import { handleExpressError, handleExpressResponse } from '@jmondi/oauth2-server/express'
import { verify } from '@node-rs/argon2'
import express from 'express'
import { Redis } from 'ioredis'
import jwt from 'jsonwebtoken'

const { PORT, REDIS_URL, KEY_FILE, ISSUER, AUDIENCE } = process.env
const privateKey = createPrivateKey(readFileSync(KEY_FILE))
const redis = new Redis(REDIS_URL)
const REFRESH_SECONDS = 14 * 86_400
const scopes = [{ name: 'read' }, { name: 'write' }]
const clients = new Map([
  [
    'web-app',
    {
      id: 'web-app',
      name: 'web-app',
      redirectUris: [],
      allowedGrants: ['password', 'refresh_token'],
      scopes,
    },
  ],
])

class Rs256JwtService extends JwtService {
  #publicKey = createPublicKey(privateKey)
  async sign(payload) {
    return jwt.sign(payload, privateKey, { algorithm: 'RS256' })
  }
  async verify(token, options) {
    return jwt.verify(token, this.#publicKey, { ...options, algorithms: ['RS256'] })
  }
  extraTokenFields() {
    return { iss: ISSUER, aud: AUDIENCE }
  }
}

const clientRepository = {
  async getByIdentifier(clientId) {
    const client = clients.get(clientId)
    if (!client) throw OAuthException.invalidClient()
    return client
  },
  async isClientValid(grantType, client) {
    return client.allowedGrants.includes(grantType)
  },
}

const scopeRepository = {
  async getAllByIdentifiers(names) {
    return scopes.filter(({ name }) => names.includes(name))
  },
  async finalize(asked) {
    return asked.length > 0 ? asked : scopes
  },
}

const userRepository = {
  async getUserByCredentials(username, password) {
    const row = await redis.get(`user:${username}`)
    if (!row) return undefined
    const user = JSON.parse(row)
    return (await verify(user.passwordHash, password)) ? { id: user.id } : undefined
  },
}

const tokenRepository = {
  async issueToken(client, scopes, user) {
    return {
      accessToken: randomBytes(32).toString('base64url'),
      accessTokenExpiresAt: new Date(),
      client,
      user,
      scopes,
    }
  },
  // A JWT lives by its signature: the record is that of the refresh token, which comes next.
  async persist() {},
  async issueRefreshToken(token, client) {
    token.refreshToken = randomBytes(32).toString('base64url')
    token.refreshTokenExpiresAt = new Date(Date.now() + REFRESH_SECONDS * 1000)
    const row = {
      clientId: client.id,
      userId: token.user.id,
      scopes: token.scopes.map(({ name }) => name),
      expiresAt: token.refreshTokenExpiresAt.getTime(),
    }
    await redis.set(`refresh:${token.refreshToken}`, JSON.stringify(row), 'EX', REFRESH_SECONDS)
    return token
  },
  async getByRefreshToken(refreshToken) {
    const row = await redis.get(`refresh:${refreshToken}`)
    if (!row) throw OAuthException.invalidGrant()
    const { clientId, userId, scopes: names, expiresAt } = JSON.parse(row)
    return {
      accessToken: '',
      accessTokenExpiresAt: new Date(0),
      refreshToken,
      refreshTokenExpiresAt: new Date(expiresAt),
      client: clients.get(clientId),
      user: { id: userId },
      scopes: scopes.filter(({ name }) => names.includes(name)),
    }
  },
  async isRefreshTokenRevoked({ refreshTokenExpiresAt }) {
    return Date.now() > refreshTokenExpiresAt.getTime()
  },
  async revoke({ refreshToken }) {
    await redis.del(`refresh:${refreshToken}`)
  },
}

const server = new AuthorizationServer(
  clientRepository,
  tokenRepository,
  scopeRepository,
  new Rs256JwtService(privateKey),
  { useOpaqueRefreshTokens: true },
)
server.enableGrantTypes(
  [{ grant: 'password', userRepository }, new DateInterval('300s')],
  ['refresh_token', new DateInterval('300s')],
)

const app = express()
app.use(express.urlencoded({ extended: false }))
app.post('/token', async (req, res) => {
  try {
    handleExpressResponse(res, await server.respondToAccessTokenRequest(req))
  } catch (error) {
    handleExpressError(error, res)
  }
})
app.listen(Number(PORT), '127.0.0.1')
