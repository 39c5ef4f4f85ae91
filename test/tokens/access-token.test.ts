import { generateKeyPairSync } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { test } from 'tap'
import { type AccessTokenClaims, signAccessToken } from '../../src/tokens/access-token.ts'
import { readSigningKey, type SigningKeys, signOnPool, signOnThread } from '../../src/tokens/signing-key.ts'

const NOW = Math.floor(Date.now() / 1000)
const claims: AccessTokenClaims = {
  iss: 'https://login.example/pawl',
  sub: 'usr_8Zk3',
  aud: ['https://api.example'],
  exp: NOW + 300,
  iat: NOW,
  clientId: 'web',
  scope: ['read', 'write'],
  authTime: NOW - 3600,
  sid: 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mws',
  distinction: '7',
  extra: {},
  typ: 'at+jwt',
}

async function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return readSigningKey(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string)
}

const [first, second] = [await newKey(), await newKey()]
const keys: SigningKeys = { active: first, published: [first, second] }
const jwks = createLocalJWKSet({ keys: keys.published.map(({ publicJwk }) => publicJwk) })
const expected = { issuer: claims.iss, audience: 'https://api.example', typ: 'at+jwt', algorithms: ['RS256'] }

const tokenOf = (change: Partial<AccessTokenClaims> = {}) =>
  signAccessToken(keys, signOnThread, { ...claims, ...change })
const payloadOf = async (token: string) => (await jwtVerify(token, jwks)).payload

test('RFC 9068: header and claims, verified through the JWKS', async (t) => {
  const token = await tokenOf()
  const { payload, protectedHeader } = await jwtVerify(token, jwks, expected)
  t.strictSame(protectedHeader, { alg: 'RS256', kid: first.kid, typ: 'at+jwt' })
  const { jti, ...others } = payload
  t.strictSame(others, {
    iss: 'https://login.example/pawl',
    sub: 'usr_8Zk3',
    aud: 'https://api.example',
    exp: NOW + 300,
    iat: NOW,
    client_id: 'web',
    scope: 'read write',
    auth_time: NOW - 3600,
    sid: claims.sid,
  })
  t.match(jti, /^[A-Za-z0-9_-]{22}$/)
})

test('aud is a string when one, an array when several', async (t) => {
  const aud = ['https://api.example', 'https://other.example']
  t.strictSame((await payloadOf(await tokenOf({ aud }))).aud, aud)
  t.equal((await payloadOf(await tokenOf())).aud, 'https://api.example')
})

test('scope is a string, in the order of the grant, also when nothing was granted', async (t) => {
  t.equal((await payloadOf(await tokenOf({ scope: ['b', 'a'] }))).scope, 'b a')
  t.equal((await payloadOf(await tokenOf({ scope: [] }))).scope, '')
})

test('equal claims make an equal token, to the letter', async (t) => {
  const token = await tokenOf()
  t.equal(await tokenOf(), token)
  t.equal(await tokenOf({ scope: [...claims.scope], aud: [...claims.aud] }), token)
  t.equal(await signAccessToken({ ...keys }, signOnPool, claims), token, 'however it was signed')
})

test('jti differs when anything differs', async (t) => {
  const changes: Record<keyof AccessTokenClaims, Partial<AccessTokenClaims>> = {
    iss: { iss: 'https://login.example' },
    sub: { sub: 'usr_8Zk4' },
    aud: { aud: ['https://api.example', 'https://api.example/2'] },
    exp: { exp: NOW + 301 },
    iat: { iat: NOW + 1 },
    clientId: { clientId: 'web2' },
    scope: { scope: ['read'] },
    authTime: { authTime: NOW - 3601 },
    sid: { sid: 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mwt' },
    distinction: { distinction: '8' },
    extra: { extra: { tier: 'gold' } },
    typ: { typ: 'JWT' },
  }
  const jtis = new Map([['nothing', (await payloadOf(await tokenOf())).jti]])
  for (const [name, change] of Object.entries(changes)) {
    jtis.set(name, (await payloadOf(await tokenOf(change))).jti)
  }
  t.equal(new Set(jtis.values()).size, 13, JSON.stringify([...jtis]))
  t.not((await payloadOf(await tokenOf({ scope: ['readwrite'] }))).jti, jtis.get('nothing'))
})

test('tokens of a key that signs no more verify while it is published', async (t) => {
  const old = await tokenOf()
  const promoted: SigningKeys = { active: second, published: keys.published }
  const fresh = await signAccessToken(promoted, signOnThread, claims)
  t.equal(decodeProtectedHeader(fresh).kid, second.kid)
  await t.resolves(jwtVerify(old, jwks, expected))
  await t.resolves(jwtVerify(fresh, jwks, expected))
  const retired = createLocalJWKSet({ keys: [second.publicJwk] })
  await t.rejects(jwtVerify(old, retired, expected), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
})

test('a token that was touched does not verify', async (t) => {
  const [header, payload, signature] = (await tokenOf()).split('.') as [string, string, string]
  const admin = Buffer.from(payload, 'base64url').toString().replace('read write', 'read admin')
  const forged = [header, Buffer.from(admin).toString('base64url'), signature].join('.')
  await t.rejects(jwtVerify(forged, jwks, expected), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
  const of = await tokenOf({ exp: NOW - 1 })
  await t.rejects(jwtVerify(of, jwks, expected), { code: 'ERR_JWT_EXPIRED' })
  await t.rejects(jwtVerify(await tokenOf(), jwks, { ...expected, typ: 'JWT' }), {
    code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
  })
})
