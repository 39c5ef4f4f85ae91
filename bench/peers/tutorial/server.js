// A server as tutorials have it: a refresh token is a JWT, its row in Redis says that it is still good; a refresh reads
// the row, deletes it and inserts the next.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { verify } from '@node-rs/argon2'
import express from 'express'
import { Redis } from 'ioredis'
import jwt from 'jsonwebtoken'

const { PORT, REDIS_URL, KEY_FILE, REFRESH_SECRET, ISSUER, AUDIENCE } = process.env
const privateKey = readFileSync(KEY_FILE, 'utf8')
const redis = new Redis(REDIS_URL)
const ACCESS_SECONDS = 300
const REFRESH_SECONDS = 14 * 86_400

async function issue(res, userId, clientId) {
  const jti = randomUUID()
  const refreshToken = jwt.sign({ jti }, REFRESH_SECRET, { subject: userId, expiresIn: REFRESH_SECONDS })
  await redis.set(`refresh:${jti}`, JSON.stringify({ userId, clientId }), 'EX', REFRESH_SECONDS)
  const accessToken = jwt.sign({ client_id: clientId, scope: 'read write', jti: randomUUID() }, privateKey, {
    algorithm: 'RS256',
    issuer: ISSUER,
    audience: AUDIENCE,
    subject: userId,
    expiresIn: ACCESS_SECONDS,
  })
  res.json({
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: ACCESS_SECONDS,
    refresh_token: refreshToken,
  })
}

const app = express()
app.use(express.urlencoded({ extended: false }))

app.post('/login', async (req, res) => {
  const { username, password, client_id } = req.body
  const row = await redis.get(`user:${username}`)
  if (!row) return res.status(401).json({ error: 'invalid_grant' })
  const user = JSON.parse(row)
  if (!(await verify(user.passwordHash, password))) return res.status(401).json({ error: 'invalid_grant' })
  await issue(res, user.id, client_id)
})

app.post('/refresh', async (req, res) => {
  let payload
  try {
    payload = jwt.verify(req.body.refresh_token, REFRESH_SECRET)
  } catch {
    return res.status(401).json({ error: 'invalid_grant' })
  }
  const row = await redis.get(`refresh:${payload.jti}`)
  if (!row) return res.status(401).json({ error: 'invalid_grant' })
  await redis.del(`refresh:${payload.jti}`)
  const { userId, clientId } = JSON.parse(row)
  await issue(res, userId, clientId)
})

app.listen(Number(PORT), '127.0.0.1')
