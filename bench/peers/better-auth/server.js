// better-auth with its sessions in Redis and its plugins for bearer sessions and JWTs. A session is not rotated: what
// stands for a refresh is a new RS256 access token for the session. Users and the key are in its memory adapter, which
// costs less than any database would.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { redisStorage } from '@better-auth/redis-storage'
import { hash, verify } from '@node-rs/argon2'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { bearer, jwt } from 'better-auth/plugins'
import { Redis } from 'ioredis'

const { PORT, REDIS_URL, KEY_FILE, USERS_FILE, REFRESH_SECRET, ISSUER, AUDIENCE } = process.env
const privateKey = createPrivateKey(readFileSync(KEY_FILE))
const now = new Date()
const users = JSON.parse(readFileSync(USERS_FILE, 'utf8'))
const both = { createdAt: now, updatedAt: now }
const publicJwk = createPublicKey(privateKey).export({ format: 'jwk' })
const privateJwk = privateKey.export({ format: 'jwk' })

const database = memoryAdapter({
  user: users.map(({ id, username }) => ({
    id,
    name: username,
    email: username,
    emailVerified: true,
    ...both,
  })),
  account: users.map(({ id, passwordHash }) => ({
    id: `account-${id}`,
    userId: id,
    accountId: id,
    providerId: 'credential',
    password: passwordHash,
    ...both,
  })),
  session: [],
  verification: [],
  jwks: [
    {
      id: 'bench',
      publicKey: JSON.stringify({ ...publicJwk, alg: 'RS256' }),
      privateKey: JSON.stringify({ ...privateJwk, alg: 'RS256' }),
      createdAt: now,
      alg: 'RS256',
    },
  ],
})

const auth = betterAuth({
  baseURL: ISSUER,
  secret: REFRESH_SECRET,
  database,
  secondaryStorage: redisStorage({ client: new Redis(REDIS_URL) }),
  // By default it would refuse a few requests per second from the one address that the load comes from.
  rateLimit: { enabled: false },
  emailAndPassword: {
    enabled: true,
    password: { hash: (password) => hash(password), verify: (given) => verify(given.hash, given.password) },
  },
  session: { expiresIn: 14 * 86_400 },
  plugins: [
    bearer(),
    jwt({
      jwks: { keyPairConfig: { alg: 'RS256', modulusLength: 2048 }, disablePrivateKeyEncryption: true },
      jwt: {
        issuer: ISSUER,
        audience: AUDIENCE,
        expirationTime: '5m',
        definePayload: ({ session }) => ({ client_id: 'web-app', scope: 'read write', sid: session.id }),
      },
    }),
  ],
})

createServer(toNodeHandler(auth)).listen(Number(PORT), '127.0.0.1')
