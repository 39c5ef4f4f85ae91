import t, { type Test } from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import {
  ask,
  encode,
  type Form,
  type Headers,
  inTheEnd,
  postForm,
  refresh,
  signIn,
} from '../support/http-client.ts'

/** A request to the token endpoint as a row: what it is, and what comes of it. */
interface Row {
  readonly name: string
  readonly form?: Form
  readonly query?: string
  readonly headers?: Headers
  /** The error code; `ok` for tokens. */
  readonly gives: string
}

const KNOWN_PARAMETERS = [
  'grant_type',
  'client_id',
  'client_secret',
  'username',
  'password',
  'refresh_token',
  'scope',
]
const EURO = '€ x'

for (const kind of STORE_KINDS) {
  t.test(`requests to the token endpoint, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    await deployment.addUser('euro', EURO)
    await deployment.addClient('refresh-only', { grants: ['refresh_token'] })
    await deployment.addClient('password-only', { grants: ['password'] })
    const secret = await deployment.addConfidentialClient('web')
    const { url } = await deployment.startServer()
    const held = await signIn(url, ada)

    const password = { grant_type: 'password', ...ada }
    const passwordText = String(encode(password))
    const refreshing = { grant_type: 'refresh_token', client_id: ada.client_id }

    const check = (t: Test, rows: readonly Row[]) =>
      Promise.all(
        rows.map(async ({ name, form = '', query = '', headers, gives }) => {
          const answer = await inTheEnd(() => postForm(`${url}/token${query}`, form, headers))
          if (gives === 'ok') t.match(answer, { status: 200, json: { token_type: 'Bearer' } }, name)
          else expectOAuthError(t, answer, gives, name)
        }),
      )

    t.test('C1 only POST, and nothing from the URL', async (t) => {
      const everything = `?${encode({ ...password, client_secret: secret, refresh_token: held.refresh_token })}`
      for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
        for (const query of ['', everything]) {
          const answer = await ask(`${url}/token${query}`, { method })
          t.match(answer, { status: 405, headers: { allow: 'POST' } }, `${method} ${query && '?…'}`)
          if (method !== 'HEAD') expectProblem(t, answer, 405)
          t.equal(answer.headers['cache-control'], 'no-store', `C7 ${method} is not cached either`)
        }
      }
      const { client_id, username, password: word } = ada
      await check(t, [
        { name: 'all in the query, no body', query: everything, gives: 'invalid_request' },
        {
          name: 'the password in the query',
          query: `?password=${encodeURIComponent(word)}`,
          form: { grant_type: 'password', client_id, username },
          gives: 'invalid_request',
        },
        {
          name: 'the refresh token in the query',
          query: `?refresh_token=${held.refresh_token}`,
          form: refreshing,
          gives: 'invalid_request',
        },
        {
          name: 'the client secret in the query',
          query: `?client_secret=${secret}`,
          form: { ...password, client_id: 'web' },
          gives: 'invalid_client',
        },
        { name: 'a query beside a good body', query: '?scope=admin&foo', form: password, gives: 'ok' },
      ])
    })

    t.test('C2 only form data', async (t) => {
      const refused = [
        'application/json',
        'multipart/form-data; boundary=x',
        'text/plain',
        'application/x-www-form-urlencodedx',
        'a/x-www-form-urlencoded\ttrailing',
        'application/x-www-form-urlencoded2; charset=UTF-8',
        'nonsense',
        '*/*',
      ]
      const taken = [
        'application/x-www-form-urlencoded',
        'Application/X-WWW-Form-URLencoded',
        'application/x-www-form-urlencoded; charset=UTF-8',
        'application/x-www-form-urlencoded;charset=utf-8',
        'application/x-www-form-urlencoded ; charset="UTF-8"',
      ]
      await check(t, [
        ...refused.map((type) => ({
          name: type,
          headers: { 'content-type': type },
          form: password,
          gives: 'invalid_request',
        })),
        ...taken.map((type) => ({
          name: type,
          headers: { 'content-type': type },
          form: password,
          gives: 'ok',
        })),
        {
          name: 'JSON that holds everything',
          headers: { 'content-type': 'application/json' },
          form: JSON.stringify(password),
          gives: 'invalid_request',
        },
      ])
      const untyped = await ask(`${url}/token`, { method: 'POST', body: passwordText })
      expectOAuthError(t, untyped, 'invalid_request', 'no content type')
      expectOAuthError(t, await ask(`${url}/token`, { method: 'POST' }), 'invalid_request', 'no body at all')
    })

    t.test('C3 encoding', async (t) => {
      const prefix = `grant_type=password&client_id=ada&username=euro&password=`
      const good = ['%E2%82%AC+x', '%E2%82%AC%20x', '%e2%82%ac+%78', '€+x', '€ x']
      const bad = ['%', '%z', '%zz', '%E2%82%AC+x%', '%FF', '%C3%28', '%C0%AF', '%ED%A0%80', '%E2%82']
      await check(t, [
        ...good.map((text) => ({ name: text, form: prefix + text, gives: 'ok' })),
        ...bad.map((text) => ({ name: text, form: prefix + text, gives: 'invalid_request' })),
        ...bad.map((text) => ({
          name: `${text} in a name`,
          form: `${passwordText}&${text}=x`,
          gives: 'invalid_request',
        })),
        { name: 'a raw octet FF', form: Buffer.from(`${prefix}\xff`, 'latin1'), gives: 'invalid_request' },
        { name: 'raw Latin-1', form: Buffer.from(`${prefix}\xe9`, 'latin1'), gives: 'invalid_request' },
      ])
    })

    t.test('C4 unknown and empty parameters', async (t) => {
      await check(t, [
        { name: 'unknown', form: { ...password, foo: 'bar', audience: 'x' }, gives: 'ok' },
        { name: 'unknown twice', form: `${passwordText}&foo=1&foo=2`, gives: 'ok' },
        { name: 'an empty scope', form: { ...password, scope: '' }, gives: 'ok' },
        { name: 'an empty client_secret', form: { ...password, client_secret: '' }, gives: 'ok' },
        { name: 'a name without =', form: `${passwordText}&scope`, gives: 'ok' },
        { name: 'stray separators', form: `&&${passwordText}&&`, gives: 'ok' },
        { name: 'an empty grant_type', form: { ...password, grant_type: '' }, gives: 'invalid_request' },
        { name: 'an empty client_id', form: { ...password, client_id: '' }, gives: 'invalid_request' },
        {
          name: 'an empty refresh_token',
          form: { ...refreshing, refresh_token: '' },
          gives: 'invalid_request',
        },
        { name: 'no refresh_token', form: refreshing, gives: 'invalid_request' },
      ])
      const answer = await postForm(`${url}/token`, { ...password, scope: '' })
      t.equal(answer.json?.scope, 'read write', 'an empty scope is an omitted one')
    })

    t.test('C5 repeated parameters', async (t) => {
      const all: Record<string, string> = {
        ...password,
        client_secret: '',
        refresh_token: 'x',
        scope: 'read',
      }
      await check(t, [
        ...KNOWN_PARAMETERS.map((name) => {
          const once = encode({ [name]: all[name] })
          return {
            name: `${name} twice`,
            form: `${encode({ ...all, [name]: undefined })}&${once}&${once}`,
            gives: 'invalid_request',
          }
        }),
        { name: 'twice, once encoded', form: `${passwordText}&%75sername=ada`, gives: 'invalid_request' },
        { name: 'twice, once empty', form: `${passwordText}&password=`, gives: 'invalid_request' },
      ])
    })

    t.test('C6 grant types', async (t) => {
      const { grant_type: _, ...rest } = password
      await check(t, [
        { name: 'none', form: rest, gives: 'invalid_request' },
        ...[
          'authorization_code',
          'Password',
          'refresh-token',
          'urn:ietf:params:oauth:grant-type:x',
          '__proto__',
          'toString',
        ].map((grant_type) => ({
          name: grant_type,
          form: { ...rest, grant_type },
          gives: 'unsupported_grant_type',
        })),
        {
          name: 'not this client’s',
          form: { ...password, client_id: 'refresh-only' },
          gives: 'unauthorized_client',
        },
        {
          name: 'refresh, not this client’s',
          form: {
            grant_type: 'refresh_token',
            client_id: 'password-only',
            refresh_token: held.refresh_token,
          },
          gives: 'unauthorized_client',
        },
      ])
    })

    t.test('C9 scope', async (t) => {
      const malformed = [
        'read  write',
        ' read',
        'read ',
        ' ',
        'read\twrite',
        'read\nwrite',
        '"read"',
        'a\\b',
        'é',
        'read\0',
        '\x7f',
      ]
      const beyond = ['admin', 'read admin', 'READ', 'read,write', 'readwrite']
      const refusedOn = (name: string, form: Record<string, string>) =>
        [...malformed, ...beyond].map((scope) => ({
          name: `${name}: ${JSON.stringify(scope)}`,
          form: { ...form, scope },
          gives: 'invalid_scope',
        }))
      await check(t, [
        ...refusedOn('password', password),
        ...refusedOn('refresh', { ...refreshing, refresh_token: held.refresh_token }),
        { name: 'all', form: { ...password, scope: 'write read' }, gives: 'ok' },
        { name: 'one', form: { ...password, scope: 'read' }, gives: 'ok' },
      ])
      const granted = async (scope: string) => (await signIn(url, ada, scope)).scope
      t.equal(await granted('write'), 'write')
      t.equal(await granted('write read write'), 'write read', 'each once')
      t.ok(
        await refresh(url, held.refresh_token, { client_id: 'ada' }),
        'none of the refusals consumed the token',
      )
    })

    t.test('C10 names that mean something to JavaScript', async (t) => {
      const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString']
      await check(
        t,
        names.flatMap((name) => [
          { name: `parameter ${name}`, form: `${passwordText}&${name}=x&${name}[x]=y`, gives: 'ok' },
          { name: `client ${name}`, form: { ...password, client_id: name }, gives: 'invalid_client' },
          { name: `user ${name}`, form: { ...password, username: name }, gives: 'invalid_grant' },
          { name: `scope ${name}`, form: { ...password, scope: name }, gives: 'invalid_scope' },
        ]),
      )
      const oddities = [
        'a\0b',
        '\0',
        '\r\n',
        'é',
        '😀',
        '../ada',
        '*',
        'ada*',
        'ADA',
        'ada ',
        'x'.repeat(2000),
      ]
      await check(
        t,
        oddities.map((name) => ({
          name: `client ${JSON.stringify(name.slice(0, 9))}`,
          form: { ...password, client_id: name },
          gives: 'invalid_client',
        })),
      )
      for (const name of names.slice(0, 2)) {
        const account = await deployment.addAccount(name, { scopes: [name] })
        const tokens = await signIn(url, account)
        t.equal(tokens.scope, name, `${name} can be registered`)
        t.ok(await refresh(url, tokens.refresh_token, { client_id: name }), `${name} can refresh`)
      }
    })

    t.test('C11 limits', async (t) => {
      const many = (count: number) => Array.from({ length: count }, (_, i) => `p${i}=1`).join('&')
      await check(t, [
        { name: 'a body of 16 KiB', form: passwordText.padEnd(16 * 1024, '&'), gives: 'invalid_request' },
        {
          name: 'with one large unknown parameter',
          form: `${passwordText}&x=`.padEnd(16 * 1024, 'x'),
          gives: 'ok',
        },
        {
          name: 'one octet more',
          form: `${passwordText}&x=`.padEnd(16 * 1024 + 1, 'x'),
          gives: 'invalid_request',
        },
        {
          name: 'a body of 1 MB',
          form: `${passwordText}&x=`.padEnd(1_000_000, 'x'),
          gives: 'invalid_request',
        },
        { name: '100 parameters', form: `${passwordText}&${many(96)}`, gives: 'ok' },
        { name: '101 parameters', form: `${passwordText}&${many(97)}`, gives: 'invalid_request' },
        {
          name: 'a long unknown grant_type',
          form: `grant_type=${'x'.repeat(10_000)}`,
          gives: 'unsupported_grant_type',
        },
        {
          name: 'a long client_id',
          form: { ...password, client_id: 'x'.repeat(10_000) },
          gives: 'invalid_client',
        },
        {
          name: 'a long user name',
          form: { ...password, username: 'x'.repeat(10_000) },
          gives: 'invalid_grant',
        },
        {
          name: 'a long password',
          form: { ...password, password: 'x'.repeat(10_000) },
          gives: 'invalid_grant',
        },
        {
          name: 'a long refresh token',
          form: { ...refreshing, refresh_token: `prt_${'A'.repeat(10_000)}` },
          gives: 'invalid_grant',
        },
        { name: 'headers of 8 KB', form: password, headers: { 'x-large': 'x'.repeat(8000) }, gives: 'ok' },
        { name: 'afterwards', form: password, gives: 'ok' },
      ])
      const large = await postForm(`${url}/token`, password, { 'x-large': 'x'.repeat(20_000) })
      expectProblem(t, large, 431, 'headers of 20 KB')
    })
  })
}
