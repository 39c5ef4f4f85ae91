import { calculateJwkThumbprint, createRemoteJWKSet, type JWK, jwtVerify } from 'jose'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import { ask, signIn } from '../support/http-client.ts'

for (const kind of STORE_KINDS) {
  t.test(`C38 the published keys, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    t.equal((await deployment.cli(['keys', 'generate'])).code, 0)
    t.equal((await deployment.cli(['keys', 'generate'])).code, 0, 'a second key, which does not sign')
    t.equal((await deployment.cli(['keys', 'generate', '--use', 'refresh'])).code, 0)
    const { url, port } = await deployment.startServer()
    const address = `${url}/.well-known/jwks.json`
    const answer = await ask(address)

    t.match(answer, {
      status: 200,
      headers: {
        'content-type': /^application\/json(;|$)/,
        'cache-control': 'public, max-age=600',
        'access-control-allow-origin': '*',
        etag: /^"[\w-]+"$/,
      },
    })
    t.strictSame(Object.keys(answer.json ?? {}), ['keys'])
    const keys = answer.json?.keys as JWK[]
    t.equal(keys.length, 2, 'every signing key is published')
    t.equal(new Set(keys.map(({ kid }) => kid)).size, 2, 'their kids differ')
    for (const key of keys) {
      t.strictSame(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'], 'public members only')
      t.match(key, { kty: 'RSA', alg: 'RS256', use: 'sig' })
      t.equal(key.kid, await calculateJwkThumbprint(key), 'kid is the RFC 7638 thumbprint')
      t.ok(Buffer.from(key.n ?? '', 'base64url').length >= 256, 'at least 2048 bits')
    }

    t.test('conditional requests', async (t) => {
      const etag = String(answer.headers.etag)
      for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const again = await ask(address, { headers: { 'if-none-match': tag } })
        t.match(again, { status: 304, text: '', headers: { etag } }, tag)
      }
      t.equal((await ask(address, { headers: { 'if-none-match': '"other"' } })).status, 200)
      const head = await ask(address, { method: 'HEAD' })
      t.match(head, { status: 200, text: '', headers: { etag } }, 'HEAD')
    })

    t.test('any other method is refused', async (t) => {
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const refused = await ask(address, { method })
        expectProblem(t, refused, 405, method)
        t.match(refused.headers.allow, /\bGET\b/, `${method}: Allow`)
      }
    })

    t.test('a resource server verifies by it', async (t) => {
      const issuer = `http://localhost:${port}`
      const { access_token } = await signIn(url, ada)
      const { payload, protectedHeader } = await jwtVerify(
        access_token,
        createRemoteJWKSet(new URL(address)),
        {
          issuer,
          audience: issuer,
          typ: 'at+jwt',
          algorithms: ['RS256'],
        },
      )
      t.equal(payload.client_id, 'ada')
      t.ok(keys.some(({ kid }) => kid === protectedHeader.kid))
    })
  })
}
