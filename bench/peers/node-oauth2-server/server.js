// @node-oauth/oauth2-server behind its own Express adapter. The model keeps one record per refresh token; an access
// token is a JWT, which the model may make, and needs none.
import { createPrivateKey, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import OAuthServer from '@node-oauth/express-oauth-server'
import { verify } from '@node-rs/argon2'
import express from 'express'
import { Redis } from 'ioredis'
import jwt from 'jsonwebtoken'

const { PORT, REDIS_URL, KEY_FILE, ISSUER, AUDIENCE } = process.env
const privateKey = createPrivateKey(readFileSync(KEY_FILE))
const redis = new Redis(REDIS_URL)
const ACCESS_SECONDS = 300
const REFRESH_SECONDS = 14 * 86_400
const SCOPE = ['read', 'write']

const clients = new Map([['web-app', { id: 'web-app', grants: ['password', 'refresh_token'] }]])

const model = {
  async getClient(clientId) {
    return clients.get(clientId)
  },
  async getUser(username, password) {
    const row = await redis.get(`user:${username}`)
    if (!row) return undefined
    const user = JSON.parse(row)
    return (await verify(user.passwordHash, password)) ? { id: user.id } : undefined
  },
  async validateScope(_user, _client, scope) {
    return scope ?? SCOPE
  },
  async generateAccessToken(client, user, scope) {
    return jwt.sign({ client_id: client.id, scope: scope.join(' '), jti: randomUUID() }, privateKey, {
      algorithm: 'RS256',
      issuer: ISSUER,
      audience: AUDIENCE,
      subject: user.id,
      expiresIn: ACCESS_SECONDS,
    })
  },
  async saveToken(token, client, user) {
    const { refreshToken, refreshTokenExpiresAt, scope } = token
    const row = { clientId: client.id, userId: user.id, scope, expiresAt: refreshTokenExpiresAt.getTime() }
    await redis.set(`refresh:${refreshToken}`, JSON.stringify(row), 'EX', REFRESH_SECONDS)
    return { ...token, client, user }
  },
  async getRefreshToken(refreshToken) {
    const row = await redis.get(`refresh:${refreshToken}`)
    if (!row) return undefined
    const { clientId, userId, scope, expiresAt } = JSON.parse(row)
    return {
      refreshToken,
      refreshTokenExpiresAt: new Date(expiresAt),
      scope,
      client: clients.get(clientId),
      user: { id: userId },
    }
  },
  // Whether the token was there to be revoked, as its documentation wants it: of several at once it is so for one.
  async revokeToken({ refreshToken }) {
    return (await redis.del(`refresh:${refreshToken}`)) === 1
  },
}

const oauth = new OAuthServer({
  model,
  accessTokenLifetime: ACCESS_SECONDS,
  refreshTokenLifetime: REFRESH_SECONDS,
  requireClientAuthentication: { password: false, refresh_token: false },
})

const app = express()
app.use(express.urlencoded({ extended: false }))
app.post('/token', oauth.token())
app.listen(Number(PORT), '127.0.0.1')
