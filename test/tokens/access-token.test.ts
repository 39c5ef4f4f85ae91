import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { test } from 'tap'
import { type AccessTokenClaims, signAccessToken, verifyAccessToken } from '../../src/tokens/access-token.ts'
import {
  readSigningKey,
  SIGNING_ALGS,
  type SigningAlg,
  signOnPool,
  signOnThread,
} from '../../src/tokens/signing-key.ts'

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
const keys = { active: first, published: [first, second] }
const jwks = createLocalJWKSet({ keys: keys.published.map(({ publicJwk }) => publicJwk) })
const expected = { issuer: claims.iss, audience: 'https://api.example', typ: 'at+jwt', algorithms: ['RS256'] }

const tokenOf = (change: Partial<AccessTokenClaims> = {}) =>
  signAccessToken(keys.active, signOnThread, { ...claims, ...change })
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
  t.equal(await signAccessToken({ ...first }, signOnPool, claims), token, 'however it was signed')
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
  const fresh = await signAccessToken(second, signOnThread, claims)
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

const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string
const byAlg = {
  RS256: first,
  ES256: await readSigningKey(pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)),
  EdDSA: await readSigningKey(pemOf(generateKeyPairSync('ed25519').privateKey)),
}
const published = Object.values(byAlg)

for (const alg of SIGNING_ALGS) {
  test(`a token signed with ${alg}`, async (t) => {
    const key = byAlg[alg]
    const all = createLocalJWKSet({ keys: published.map(({ publicJwk }) => publicJwk) })
    const token = await signAccessToken(key, signOnThread, claims)
    t.strictSame(decodeProtectedHeader(token), { alg, kid: key.kid, typ: 'at+jwt' })
    await t.resolves(jwtVerify(token, all, { ...expected, algorithms: [alg] }))
    t.match(await verifyAccessToken({ published }, claims.iss, token), { client_id: 'web' })
    const again = await signAccessToken(key, signOnPool, claims)
    t.strictSame(decodeJwt(again), decodeJwt(token), 'a repeat says the same')
    t.equal(again === token, alg !== 'ES256', 'to the letter where the algorithm is deterministic')
    await t.resolves(verifyAccessToken({ published }, claims.iss, again))
  })
}

test('C40 no key passes with the algorithm of another, in any pair', async (t) => {
  const [, body] = (await tokenOf()).split('.')
  const inputOf = (header: object) => `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${body}`
  const refused = async (token: string, what: string) => {
    await t.rejects(verifyAccessToken({ published }, claims.iss, token), what)
  }
  const CLAIMED = [...SIGNING_ALGS, 'PS256', 'RS512', 'ES384', 'ES256K', 'Ed25519', 'none', 'HS256']
  for (const of of SIGNING_ALGS) {
    const key = byAlg[of]
    for (const alg of CLAIMED) {
      for (const by of SIGNING_ALGS) {
        if (alg === of && by === of) continue
        const input = inputOf({ alg, kid: key.kid, typ: 'at+jwt' })
        const signature = await signOnThread(byAlg[by], input)
        await refused(`${input}.${signature}`, `the kid of ${of}, alg ${alg}, signed with ${by}`)
      }
    }
    const input = inputOf({ alg: 'HS256', kid: key.kid, typ: 'at+jwt' })
    for (const format of ['pem', 'der'] as const) {
      const secret = key.publicKey.export({ type: 'spki', format } as never) as string | Buffer
      const mac = createHmac('sha256', secret).update(input).digest('base64url')
      await refused(`${input}.${mac}`, `HS256 with the public key of ${of} in ${format}`)
    }
  }
  const pss = inputOf({ alg: 'PS256', kid: byAlg.RS256.kid, typ: 'at+jwt' })
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const pssSignature = sign('sha256', Buffer.from(pss), {
    key: byAlg.RS256.privateKey,
    padding,
    saltLength: 32,
  })
  await refused(`${pss}.${pssSignature.toString('base64url')}`, 'PS256 by the RSA key')
  const der = inputOf({ alg: 'ES256', kid: byAlg.ES256.kid, typ: 'at+jwt' })
  const derSignature = sign('sha256', Buffer.from(der), byAlg.ES256.privateKey).toString('base64url')
  await refused(`${der}.${derSignature}`, 'ES256 in DER')
  const ed = inputOf({ alg: 'Ed25519', kid: byAlg.EdDSA.kid, typ: 'at+jwt' })
  await refused(
    `${ed}.${await signOnThread(byAlg.EdDSA, ed)}`,
    'the newer name of EdDSA, which we never write',
  )
  const good = inputOf({ alg: 'ES256' satisfies SigningAlg, kid: byAlg.ES256.kid, typ: 'at+jwt' })
  await t.resolves(
    verifyAccessToken({ published }, claims.iss, `${good}.${await signOnThread(byAlg.ES256, good)}`),
    'and what is made the same way, and right, passes',
  )
})
