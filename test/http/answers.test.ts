import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import {
  type Answer,
  ask,
  claimsOf,
  type Form,
  type Headers,
  postForm,
  signIn,
} from '../support/http-client.ts'

// All that could break out of a JSON string, a header or a log line.
const NASTY = 'canary"\\\'<b>\r\n\t\0\u{1F600}%22'

for (const kind of STORE_KINDS) {
  t.test(`what the answers look like, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const quiet = await deployment.addAccount('quiet', { scopes: [] })
    await deployment.addClient('password-only', { grants: ['password'], scopes: ['read'] })
    const { url, port } = await deployment.startServer()
    const tokenUrl = `${url}/token`
    const issuer = `http://localhost:${port}`
    const password = { grant_type: 'password', ...ada }
    const held = await signIn(url, ada)
    const refreshing = { grant_type: 'refresh_token', client_id: 'ada', refresh_token: held.refresh_token }

    t.test('C7 success: exactly these members, and not to be cached', async (t) => {
      for (const [grant, form] of Object.entries({ password, refresh_token: refreshing })) {
        const answer = await postForm(tokenUrl, form)
        t.equal(answer.status, 200, grant)
        t.match(answer.headers, {
          'content-type': /^application\/json(;|$)/,
          'cache-control': 'no-store',
          pragma: 'no-cache',
          'x-content-type-options': 'nosniff',
        })
        t.match(answer.json, {
          access_token: /^[\w-]+\.[\w-]+\.[\w-]+$/,
          token_type: 'Bearer',
          expires_in: 300,
          refresh_token: /^prt_[\w-]{88}$/,
          scope: 'read write',
        })
        const members = ['access_token', 'expires_in', 'refresh_token', 'scope', 'token_type']
        t.strictSame(Object.keys(answer.json ?? {}).sort(), members)
        for (const header of ['set-cookie', 'server', 'x-powered-by', 'location', 'etag']) {
          t.notOk(header in answer.headers, `no ${header}`)
        }
      }
    })

    t.test('scope is always there, the refresh token where the client may use it', async (t) => {
      t.equal((await signIn(url, quiet)).scope, '', 'no scope is an empty one')
      const answer = await postForm(tokenUrl, { ...password, client_id: 'password-only' })
      t.equal(answer.status, 200)
      t.strictSame(Object.keys(answer.json ?? {}).sort(), [
        'access_token',
        'expires_in',
        'scope',
        'token_type',
      ])
    })

    t.test('C43 what the request says of the server changes nothing', async (t) => {
      const headers = {
        host: 'evil.example',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example;proto=https',
      }
      const { json } = await postForm(tokenUrl, password, headers)
      t.match(claimsOf(String(json?.access_token)), { iss: issuer, aud: issuer })
    })

    t.test('C8 nothing of a request comes back', async (t) => {
      const clean = (name: string, answer: Answer) => {
        const everything = JSON.stringify(answer.headers) + answer.text
        t.notMatch(everything, /canary/i, `${name}: not reflected`)
        t.notMatch(everything, /node_modules|\.js:\d|\.ts:\d/, `${name}: no stack`)
        t.ok(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status}`)
      }
      const rows: [name: string, error: string, form: Form, headers?: Headers][] = [
        ['grant_type', 'unsupported_grant_type', { ...password, grant_type: NASTY }],
        ['client_id', 'invalid_client', { ...password, client_id: NASTY }],
        ['client_secret', 'invalid_client', { ...password, client_secret: NASTY }],
        ['username', 'invalid_grant', { ...password, username: NASTY }],
        ['password', 'invalid_grant', { ...password, password: NASTY }],
        ['scope', 'invalid_scope', { ...password, scope: NASTY }],
        ['scope, well-formed', 'invalid_scope', { ...password, scope: 'canary' }],
        ['refresh_token', 'invalid_grant', { ...refreshing, refresh_token: NASTY }],
        ['refresh_token, prefixed', 'invalid_grant', { ...refreshing, refresh_token: `prt_canary${NASTY}` }],
        ['a name', 'invalid_request', { [NASTY]: NASTY }],
        ['the whole body', 'invalid_request', NASTY],
        [
          'Basic',
          'invalid_client',
          password,
          { authorization: `Basic ${Buffer.from(NASTY).toString('base64')}` },
        ],
        ['Bearer', 'invalid_client', password, { authorization: 'Bearer canary' }],
        ['Authorization', 'invalid_client', password, { authorization: 'canary' }],
        ['Content-Type', 'invalid_request', password, { 'content-type': 'canary/canary; canary="canary"' }],
      ]
      for (const [name, error, form, headers] of rows) {
        const answer = await postForm(tokenUrl, form, headers)
        clean(name, answer)
        expectOAuthError(t, answer, error, name)
      }
      const encoded = encodeURIComponent(NASTY)
      for (const path of [
        '/canary',
        `/canary?${encoded}`,
        `/token/canary`,
        `/canary${encoded}`,
        '/.well-known/canary',
      ]) {
        for (const method of ['GET', 'POST']) {
          const answer = await ask(url + path, {
            method,
            headers: { cookie: 'canary=canary', 'x-canary': 'canary' },
          })
          clean(`${method} ${path}`, answer)
          expectProblem(t, answer, 404, `${method} ${path}`)
        }
      }
      const badEscape = await ask(`${url}/canary%zz`)
      clean('a bad escape in the path', badEscape)
      expectProblem(t, badEscape, 400, 'a bad escape in the path')
    })

    t.test('C47 other methods and other paths', async (t) => {
      for (const path of [
        '/',
        '/Token',
        '/token/',
        '//token',
        '/revoke/',
        '/.well-known/',
        '/health/live',
        '/metrics',
      ]) {
        expectProblem(t, await postForm(url + path, password), 404, path)
      }
      const query = await postForm(`${tokenUrl}?x=1`, password)
      t.equal(query.status, 200, 'a query means nothing')
      const other = await ask(`${tokenUrl}?x=1`, { method: 'PROPFIND' })
      expectProblem(t, other, 405, 'an unusual method')
      t.equal(other.headers.allow, 'POST')
    })
  })
}

t.test('an issuer with a path', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { ISSUER: 'https://auth.example/tenants/one' } })
  const ada = await deployment.addAccount('ada')
  const { url } = await deployment.startServer()
  const base = `${url}/tenants/one`
  const { access_token } = await signIn(base, ada)
  t.equal(claimsOf(access_token).iss, 'https://auth.example/tenants/one')
  t.equal((await ask(`${base}/.well-known/jwks.json`)).status, 200)
  expectProblem(
    t,
    await postForm(`${url}/token`, { grant_type: 'password', ...ada }),
    404,
    'no token endpoint elsewhere',
  )
  expectProblem(t, await ask(`${url}/.well-known/jwks.json`), 404, 'no keys elsewhere')
  const get = await ask(`${base}/token`)
  expectProblem(t, get, 405)
  t.equal(get.headers.allow, 'POST')
})
