import { createPublicKey, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { calculateJwkThumbprint, createRemoteJWKSet, decodeProtectedHeader, type JWK, jwtVerify } from 'jose'
import t from 'tap'
import { loadKeys } from '../../src/keys/key-files.ts'
import { SIGNING_ALGS, type SigningAlg } from '../../src/tokens/signing-key.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { ask, basic, claimsOf, postForm, refresh, signIn } from '../support/http-client.ts'

const MEMBERS: Readonly<Record<SigningAlg, object>> = {
  RS256: { kty: 'RSA', members: 'alg e kid kty n use' },
  ES256: { kty: 'EC', crv: 'P-256', members: 'alg crv kid kty use x y' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', members: 'alg crv kid kty use x' },
}
const INTROSPECTION_JWT = 'application/token-introspection+jwt'

t.jobs = STORE_KINDS.length
for (const kind of STORE_KINDS) {
  t.test(`several algorithms side by side, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: { SIGNING_ALG: 'ES256,EdDSA,RS256' } })
    const accounts = {
      ES256: await deployment.addAccount('es256'),
      EdDSA: await deployment.addAccount('eddsa', { signingAlg: 'EdDSA' }),
      RS256: await deployment.addAccount('rs256', { signingAlg: 'RS256' }),
    }
    const server = await deployment.startServer()
    const { url } = server
    const issuer = `http://localhost:${server.port}`
    const jwksUrl = new URL(`${url}/.well-known/jwks.json`)
    const jwks = createRemoteJWKSet(jwksUrl)

    t.test('C38 the JWKS has a key of each: public members only, kid the thumbprint', async (t) => {
      const keys = (await ask(jwksUrl.href)).json?.keys as JWK[]
      t.strictSame(keys.map(({ alg }) => alg).sort(), [...SIGNING_ALGS].sort())
      for (const key of keys) {
        const { kty, crv, alg, use } = key
        const members = Object.keys(key).sort().join(' ')
        t.strictSame({ kty, ...(crv && { crv }), members }, MEMBERS[alg as SigningAlg])
        t.equal(use, 'sig')
        t.equal(key.kid, await calculateJwkThumbprint(key))
        t.equal(createPublicKey({ key: key as never, format: 'jwk' }).type, 'public')
      }
    })

    t.test('C44 the metadata says so', async (t) => {
      const { json } = await ask(`${url}/.well-known/oauth-authorization-server`)
      t.strictSame(json?.introspection_signing_alg_values_supported, ['ES256', 'EdDSA', 'RS256'])
      t.strictSame(json?.id_token_signing_alg_values_supported, ['ES256', 'EdDSA', 'RS256'])
    })

    for (const alg of SIGNING_ALGS) {
      t.test(`${alg}: on first start it signs at once; a repeat says the same again`, async (t) => {
        const account = accounts[alg]
        const verified = async (token: string) =>
          (await jwtVerify(token, jwks, { issuer, audience: issuer, typ: 'at+jwt', algorithms: [alg] }))
            .payload
        const begun = await signIn(url, account)
        await verified(begun.access_token)
        const first = await refresh(url, begun.refresh_token, account)
        const repeat = await refresh(url, begun.refresh_token, account)
        t.equal(repeat.refresh_token, first.refresh_token)
        t.strictSame(await verified(repeat.access_token), await verified(first.access_token), 'jti included')
        t.equal(
          repeat.access_token === first.access_token,
          alg !== 'ES256',
          'to the letter where the algorithm is deterministic, else under a fresh signature',
        )
        t.ok((await refresh(url, repeat.refresh_token, account)).access_token, 'and the session goes on')
      })
    }

    t.test('introspection takes all three, and answers with what the caller asks for', async (t) => {
      for (const [alg, registration] of [
        ['ES256', {}],
        ['EdDSA', { signingAlg: 'EdDSA' }],
        ['RS256', { signingAlg: 'RS256' }],
      ] as const) {
        const id = `api-${alg}`
        const secret = await deployment.addConfidentialClient(id, { ...registration, mayIntrospect: true })
        for (const account of Object.values(accounts)) {
          const { access_token: token } = await signIn(url, account)
          const headers = { ...basic(id, secret), accept: INTROSPECTION_JWT }
          const { text } = await postForm(`${url}/introspect`, { token }, headers)
          const { payload } = await jwtVerify(text, jwks, {
            issuer,
            audience: id,
            typ: 'token-introspection+jwt',
            algorithms: [alg],
          })
          t.match(payload.token_introspection, { active: true, client_id: account.client_id })
        }
      }
    })

    t.test(
      'C40 neither introspection nor pawl token inspect takes a key with another’s algorithm',
      async (t) => {
        const secret = await deployment.addConfidentialClient('api', { mayIntrospect: true })
        const { signing } = await loadKeys(String(deployment.env.KEYS_DIR), SIGNING_ALGS)
        const genuine = (await signIn(url, accounts.ES256)).access_token
        const isActive = async (token: string) =>
          (await postForm(`${url}/introspect`, { token }, basic('api', secret))).json?.active
        const inspected = async (token: string) =>
          (await deployment.cli(['token', 'inspect', token], '', { ISSUER: issuer })).code
        t.equal(await isActive(genuine), true)
        t.equal(await inspected(genuine), 0)
        const [, body] = genuine.split('.')
        for (const of of SIGNING_ALGS) {
          for (const alg of SIGNING_ALGS.filter((alg) => alg !== of)) {
            const head = { alg, kid: signing.of(of).kid, typ: 'at+jwt' }
            const input = `${Buffer.from(JSON.stringify(head)).toString('base64url')}.${body}`
            const own = of === 'EdDSA' ? undefined : 'sha256'
            const key = { key: signing.of(of).privateKey, dsaEncoding: 'ieee-p1363' } as const
            const token = `${input}.${sign(own, Buffer.from(input), key).toString('base64url')}`
            t.equal(await isActive(token), false, `a key for ${of}, said to be for ${alg}`)
            if (of === 'RS256') t.equal(await inspected(token), 1)
          }
        }
      },
    )
    t.equal(claimsOf((await signIn(url, accounts.EdDSA)).access_token).client_id, 'eddsa')
  })
}

t.test('pawl client: what its tokens are signed with', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const refused = await deployment.cli(['client', 'add', 'web', '--public', '--signing-alg', 'ES256'])
  t.equal(refused.code, 1)
  t.match(refused.stderr, 'SIGNING_ALG is RS256 here, so nothing is signed with ES256: add it there first')
  t.match(refused.stderr, '(SIGNING_ALG=RS256,ES256)')
  const SIGNING_ALG = 'RS256,ES256'
  const both = { SIGNING_ALG }
  const wrong = await deployment.cli(['client', 'add', 'web', '--public', '--signing-alg', 'ES384'], '', both)
  t.match(wrong, { code: 64, stderr: /--signing-alg takes RS256 or ES256 or EdDSA or default/ })
  t.equal(
    (await deployment.cli(['client', 'add', 'web', '--public', '--signing-alg', 'ES256'], '', both)).code,
    0,
  )
  await deployment.addUser('ada', 'the password of ada')
  const ada = { client_id: 'web', username: 'ada', password: 'the password of ada' }
  const server = await deployment.startServer(both)
  const algOf = async () => decodeProtectedHeader((await signIn(server.url, ada)).access_token).alg
  t.equal(await algOf(), 'ES256')
  t.match(JSON.parse((await deployment.cli(['client', 'list', '--json'])).stdout), { signingAlg: 'ES256' })
  t.equal((await deployment.cli(['client', 'update', 'web', '--signing-alg', 'default'], '', both)).code, 0)
  const seedFile = join(deployment.cwd, 'seed.json')
  const client = { client_id: 'tv', type: 'public', signing_alg: 'EdDSA' }
  writeFileSync(seedFile, JSON.stringify({ clients: [client] }))
  const check = (env: Record<string, string>) =>
    deployment.cli(['serve', '--check-config'], '', { SEED_FILE: seedFile, ...env })
  t.match(await check(both), {
    code: 78,
    stderr: `SEED_FILE ${seedFile}: the signing_alg EdDSA of tv is not in SIGNING_ALG, which is RS256,ES256`,
  })
  t.match(await check({ SIGNING_ALG: 'EdDSA' }), { code: 0, stdout: /^SIGNING_ALG=EdDSA$/m })
  // A server reads a client anew within a second.
  for (let i = 0; i < 50 && (await algOf()) !== 'RS256'; i += 1)
    await new Promise((go) => setTimeout(go, 100))
  t.equal(await algOf(), 'RS256')
})
