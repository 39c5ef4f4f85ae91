import { expectOAuthError, expectProblem } from '../support/expect.ts'
import { encode, FORM_TYPE, sendRaw } from '../support/http-client.ts'
import { ADA, APP, recordOf } from './context.ts'
import type { Row } from './row.ts'

const SIGN_IN = { grant_type: 'password', ...APP, ...ADA } as const
const DESCRIPTION = /^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/

/** The rows on RFC 6749's token endpoint. */
export const TOKEN_ENDPOINT: readonly Row[] = [
  {
    id: 'C1',
    title: 'the token endpoint takes POST, and nothing from the query',
    async hold(t, context) {
      const { send, token, revoke, introspect, web, signIn, refresh } = context
      const query = `/token?${encode(SIGN_IN)}`
      for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']) {
        for (const path of ['/token', query]) {
          const answer = await send(method, path)
          t.equal(answer.headers.allow, 'POST', `${method}: Allow`)
          if (method === 'HEAD') t.match(answer, { status: 405, text: '' })
          else expectProblem(t, answer, 405, `${method} ${path.slice(0, 7)}`)
        }
      }
      const form = { 'content-type': FORM_TYPE }
      expectOAuthError(t, await send('POST', query, form, ''), 'invalid_request', 'all of it in the query')
      const without = async (name: 'password' | 'username' | 'grant_type') => {
        const { [name]: value, ...rest } = SIGN_IN
        return send('POST', `/token?${encode({ [name]: value })}`, form, encode(rest))
      }
      for (const name of ['password', 'username', 'grant_type'] as const) {
        expectOAuthError(t, await without(name), 'invalid_request', `${name} in the query`)
      }
      const secret = `?${encode({ client_secret: web.client_secret })}`
      const asWeb = encode({ grant_type: 'client_credentials', client_id: web.client_id })
      expectOAuthError(t, await send('POST', `/token${secret}`, form, asWeb), 'invalid_client')
      const both = `/token?${encode(web)}`
      const anonymous = await send('POST', both, form, 'grant_type=client_credentials')
      expectOAuthError(t, anonymous, 'invalid_request', 'a client in the query is none')

      const held = await signIn()
      const before = await recordOf(context, held)
      const inUrl = `?${encode({ refresh_token: held.refresh_token, token: held.refresh_token })}`
      const refreshing = encode({ grant_type: 'refresh_token', ...APP })
      expectOAuthError(t, await send('POST', `/token${inUrl}`, form, refreshing), 'invalid_request')
      expectOAuthError(t, await send('POST', `/revoke${inUrl}`, form, encode(APP)), 'invalid_request')
      expectOAuthError(t, await send('POST', `/introspect${inUrl}`, form, encode(web)), 'invalid_request')
      expectOAuthError(t, await send('POST', `/introspect?${encode(web)}`, form, 'token=x'), 'invalid_client')
      t.strictSame(await recordOf(context, held), before, 'a token in a URL does nothing')
      t.equal((await token({ ...SIGN_IN })).status, 200)
      t.equal((await revoke({ ...APP, token: 'x' })).status, 200)
      t.equal((await introspect({ ...web, token: 'x' })).status, 200)
      t.ok(await refresh(held))
    },
  },
  {
    id: 'C2',
    title: 'only form data is taken',
    async hold(t, { send, from, server }) {
      const body = encode(SIGN_IN)
      const good = [
        FORM_TYPE,
        FORM_TYPE.toUpperCase(),
        'Application/X-WWW-Form-Urlencoded',
        `${FORM_TYPE};charset=UTF-8`,
        `${FORM_TYPE}; charset=utf-8`,
        `${FORM_TYPE} ; Charset="UTF-8"`,
      ]
      for (const type of good) {
        t.equal((await send('POST', '/token', { 'content-type': type }, body)).status, 200, type)
      }
      const bad = [
        'application/json',
        'application/json; charset=utf-8',
        'multipart/form-data; boundary=x',
        'text/plain',
        'x-www-form-urlencoded',
        'application/x-www-form-urlencoded2',
        'xapplication/x-www-form-urlencoded',
        'a/x-www-form-urlencoded\ttrailing',
        `${FORM_TYPE}\ttrailing`,
        `${FORM_TYPE} trailing`,
        `text/plain, ${FORM_TYPE}`,
        `text/plain; x=${FORM_TYPE}`,
        '*/*',
        'canary',
      ]
      for (const path of ['/token', '/revoke', '/introspect']) {
        for (const type of bad) {
          const answer = await send('POST', path, { 'content-type': type }, body)
          expectOAuthError(t, answer, 'invalid_request', `${path} ${JSON.stringify(type)}`)
          t.notMatch(answer.text, /canary|trailing/)
        }
        expectOAuthError(t, await send('POST', path, {}, body), 'invalid_request', 'no content type')
      }
      const json = JSON.stringify(SIGN_IN)
      expectOAuthError(
        t,
        await send('POST', '/token', { 'content-type': 'application/json' }, json),
        'invalid_request',
      )
      // An empty header value, and none with a body of no length, cannot be sent by an ordinary client.
      for (const line of ['Content-Type:', 'X-Nothing: x']) {
        const octets = `POST /token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${from['x-forwarded-for']}\r\nConnection: close\r\n`
        const received = await sendRaw(
          server.port,
          `${octets}${line}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        )
        t.match(received, /^HTTP\/1\.1 400 .*"error":"invalid_request"/s, line)
      }
    },
  },
  {
    id: 'C3',
    title: 'values are decoded strictly, as UTF-8',
    async hold(t, { token, deployment }) {
      await deployment.addUser('euro', '€ x')
      const asking = (password: string | Buffer) =>
        token(
          Buffer.concat([
            Buffer.from(`grant_type=password&client_id=app&username=euro&password=`),
            Buffer.from(password),
          ]),
        )
      for (const good of ['%E2%82%AC+x', '%e2%82%ac%20x', '€+x', '€ x']) {
        t.equal((await asking(good)).status, 200, good)
      }
      const bad = [
        ...['%zz', '%', '%2', '%E2%82%AC+x%', '%%', '%u20AC', '%-1'],
        // Cut short, overlong, a surrogate, beyond Unicode, a lone continuation.
        ...['%E2%82', '%C0%80', '%C1%BF', '%ED%A0%80', '%F4%90%80%80', '%80', '%FF', 'x%FEx'],
        ...[
          Buffer.from([0xff]),
          Buffer.from([0xe2, 0x82]),
          Buffer.from([0xc0, 0x80]),
          Buffer.from('é', 'latin1'),
        ],
      ]
      for (const value of bad) {
        const name = typeof value === 'string' ? value : `octets ${value.toString('hex')}`
        expectOAuthError(t, await asking(value), 'invalid_request', name)
      }
      const named = await token(`${encode(SIGN_IN)}&%zz=x`)
      expectOAuthError(t, named, 'invalid_request', 'in a name, even of a parameter that nobody knows')
      expectOAuthError(t, await token(`${encode(SIGN_IN)}&x=%ff`), 'invalid_request')
      expectOAuthError(
        t,
        await asking('%E2%82%AC x'.replace(' ', '%2B')),
        'invalid_grant',
        'a plus that is meant',
      )
    },
  },
  {
    id: 'C4',
    title: 'unknown parameters are ignored, empty ones are absent',
    async hold(t, { token, revoke, introspect, web, signIn }) {
      const plain = encode(SIGN_IN)
      const fine = [
        '&foo=bar',
        '&foo=bar&foo=baz',
        '&resource=x&state=y',
        '&foo',
        '&=x',
        '&&&',
        '&scope=',
        '&scope',
        '&client_secret=',
      ]
      for (const more of fine) {
        const answer = await token(plain + more)
        t.match(answer, { status: 200, json: { scope: 'read write' } }, more)
      }
      const absent = { grant_type: 'refresh_token', ...APP }
      expectOAuthError(t, await token({ ...absent, refresh_token: '' }), 'invalid_request', 'refresh_token=')
      expectOAuthError(t, await token(`${encode(absent)}&refresh_token`), 'invalid_request', 'refresh_token')
      for (const name of ['grant_type', 'username', 'password'] as const) {
        expectOAuthError(t, await token({ ...SIGN_IN, [name]: '' }), 'invalid_request', `${name}=`)
      }
      expectOAuthError(t, await revoke({ ...APP, token: '' }), 'invalid_request')
      expectOAuthError(t, await introspect({ ...web, token: '' }), 'invalid_request')
      const { access_token } = await signIn()
      const asked = { ...web, token: access_token, foo: 'bar' }
      t.equal((await introspect(asked)).status, 200)
      t.equal((await revoke({ ...APP, token: 'x', foo: 'bar', token_type_hint: '' })).status, 200)
    },
  },
  {
    id: 'C5',
    title: 'a known parameter twice is refused',
    async hold(t, context) {
      const { token, revoke, introspect, web, signIn } = context
      const held = await signIn()
      const before = await recordOf(context, held)
      const { refresh_token } = held
      const signIns = encode({ ...SIGN_IN, scope: 'read' })
      const refreshing = encode({ grant_type: 'refresh_token', ...APP, refresh_token, scope: 'read' })
      const clients = encode({ grant_type: 'client_credentials', ...web })
      for (const form of [signIns, refreshing, clients].map(String)) {
        for (const [name, value] of new URLSearchParams(form)) {
          for (const again of [value, 'other', '']) {
            const answer = await token(`${form}&${encode({ [name]: again })}`)
            expectOAuthError(t, answer, 'invalid_request', `${name} twice`)
          }
        }
      }
      for (const [path, ask] of Object.entries({ revoke, introspect })) {
        const form = String(encode({ ...web, token: refresh_token, token_type_hint: 'refresh_token' }))
        for (const [name, value] of new URLSearchParams(form)) {
          for (const again of [value, 'other']) {
            const answer = await ask(`${form}&${encode({ [name]: again })}`)
            expectOAuthError(t, answer, 'invalid_request', `${path}: ${name} twice`)
          }
        }
      }
      t.strictSame(await recordOf(context, held), before, 'and nothing happens')
    },
  },
  {
    id: 'C6',
    title: 'grant_type: missing, unknown, not the client’s',
    async hold(t, { token, register, web, signIn }) {
      const { grant_type: _, ...bare } = SIGN_IN
      expectOAuthError(t, await token(bare), 'invalid_request')
      const unknown = [
        'authorization_code',
        'implicit',
        'Password',
        'password ',
        'toString',
        '__proto__',
        'x',
      ]
      for (const grant_type of unknown) {
        expectOAuthError(t, await token({ ...SIGN_IN, grant_type }), 'unsupported_grant_type', grant_type)
        expectOAuthError(t, await token({ grant_type, ...web }), 'unsupported_grant_type', grant_type)
      }
      const { refresh_token } = await signIn()
      const grants = {
        password: ADA,
        refresh_token: { refresh_token },
        client_credentials: {},
      } as const
      for (const grant_type of Object.keys(grants) as (keyof typeof grants)[]) {
        const others = (Object.keys(grants) as (keyof typeof grants)[]).filter(
          (other) => other !== grant_type,
        )
        const client = await register(`not-${grant_type.slice(0, 7)}`, { grants: others })
        const answer = await token({ grant_type, ...client, ...grants[grant_type] })
        expectOAuthError(t, answer, 'unauthorized_client', grant_type)
      }
    },
  },
  {
    id: 'C7',
    title: 'every answer is no-store, success is JSON with an integer expires_in',
    async hold(t, { token, send, web, signIn, refresh, server, from }) {
      const held = await signIn()
      const successes = [
        await token(SIGN_IN),
        await token({ grant_type: 'refresh_token', ...APP, refresh_token: held.refresh_token }),
        await token({ grant_type: 'client_credentials', ...web }),
      ]
      for (const answer of successes) {
        t.match(
          answer,
          {
            status: 200,
            headers: { 'cache-control': 'no-store', 'content-type': /^application\/json(; charset=utf-8)?$/ },
            json: { token_type: 'Bearer', expires_in: 300, access_token: /^ey/, scope: 'read write' },
          },
          'a success',
        )
        t.ok(Number.isInteger(answer.json?.expires_in))
      }
      t.ok(Number.isInteger((await refresh(held)).expires_in), 'a repeat too')
      const members = (i: number) => Object.keys(successes[i]?.json ?? {}).sort()
      const usual = ['access_token', 'expires_in', 'refresh_token', 'scope', 'token_type']
      t.strictSame(members(0), usual)
      t.strictSame(members(1), usual)
      t.strictSame(
        members(2),
        usual.filter((name) => name !== 'refresh_token'),
      )
      const errors = [
        await token({}),
        await token({ ...SIGN_IN, password: 'wrong' }),
        await token({ ...SIGN_IN, scope: 'x' }),
        await token({ ...SIGN_IN, client_secret: 'x' }),
        await token(`x=${'y'.repeat(20_000)}`),
        await send('POST', '/token', { 'content-type': 'text/plain' }, 'x'),
        await send('GET', '/token'),
        await send('POST', '/token/', { 'content-type': FORM_TYPE }, 'x'),
      ]
      t.strictSame(
        errors.map(({ status }) => status),
        [400, 400, 400, 401, 400, 400, 405, 404],
      )
      for (const { status, headers } of errors) t.equal(headers['cache-control'], 'no-store', `${status}`)
      const raw = `POST /token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${from['x-forwarded-for']}\r\nContent-Length: x\r\n\r\n`
      t.match(
        await sendRaw(server.port, raw),
        /^HTTP\/1\.1 400 .*\r\ncache-control: no-store\r\n/is,
        'not even HTTP',
      )
    },
  },
  {
    id: 'C8',
    title: 'nothing of a request is reflected',
    async hold(t, { token, revoke, introspect, web, signIn, send, get }) {
      const hostile = ['"', '\\', '\r', '\n', '\t', '\0', '😀', '"\\\r\n\t\0😀<script>', 'é', '\u2028'].map(
        (text) => `canary${text}canary`,
      )
      const { refresh_token } = await signIn()
      const forms: Record<string, Readonly<Record<string, string>>> = {
        password: { ...SIGN_IN, scope: 'read' },
        refresh_token: { grant_type: 'refresh_token', ...APP, refresh_token, scope: 'read' },
        client_credentials: { grant_type: 'client_credentials', ...web, scope: 'read' },
      }
      let answers = 0
      const check = (name: string, text: string, description: unknown, headers: object) => {
        answers += 1
        t.notMatch(text + JSON.stringify(headers), /canary|<script|😀/i, `${name}: not reflected`)
        t.match(description, DESCRIPTION, `${name}: its characters`)
      }
      for (const value of hostile) {
        for (const form of Object.values(forms)) {
          for (const name of Object.keys(form)) {
            const { status, text, json, headers } = await token({ ...form, [name]: value })
            t.ok(status === 400 || status === 401)
            check(`${name}=${encodeURIComponent(value)}`, text, json?.error_description, headers)
          }
        }
        for (const ask of [revoke, introspect]) {
          const { status, text, json, headers } = await ask({ ...web, client_secret: value, token: value })
          t.equal(status, 401)
          check('the secret at R and I', text, json?.error_description, headers)
          const good = await ask({ ...web, token: value, token_type_hint: value, [value]: value })
          t.equal(good.status, 200)
          t.notMatch(good.text + JSON.stringify(good.headers), /canary/)
        }
      }
      t.ok(answers >= 10 * 14, `${answers} errors`)
      const elsewhere = [
        await get('/canary?canary=canary', {
          'x-canary': 'canary',
          cookie: 'canary=canary',
          origin: 'https://canary.example',
        }),
        await send('PATCH', '/token/canary', { 'user-agent': 'canary' }),
        await send(
          'POST',
          '/token',
          { authorization: 'Canary canary', 'content-type': 'canary/canary' },
          'canary',
        ),
        await token('canary', { authorization: 'Basic canary' }),
      ]
      for (const { text, headers } of elsewhere) t.notMatch(text + JSON.stringify(headers), /canary/i)
    },
  },
  {
    id: 'C9',
    title: 'scope syntax',
    async hold(t, context) {
      const { token, web, register, signIn, tryRefresh } = context
      const first = '!#[]~'
      const client = await register('scopes', { scopes: ['read', 'write', first] })
      const bad = [
        ...[
          ' ',
          ' read',
          'read ',
          'read  write',
          'read\twrite',
          'read\nwrite',
          'read\r\nwrite',
          'read\u00a0write',
        ],
        ...['"', 'read "', '\\', 're\\ad', 'é', '😀', '\x7f', '\0', 'read\0', 'read\x1f'],
      ]
      const held = await signIn(client)
      const before = await recordOf(context, held)
      for (const scope of [...bad, 'admin', 'READ', 'read admin', 'read,write']) {
        const name = JSON.stringify(scope)
        expectOAuthError(t, await token({ ...SIGN_IN, ...client, scope }), 'invalid_scope', name)
        expectOAuthError(
          t,
          await token({ grant_type: 'client_credentials', ...web, scope }),
          'invalid_scope',
          name,
        )
        expectOAuthError(t, await tryRefresh(held, { ...client, scope }), 'invalid_scope', name)
      }
      t.strictSame(await recordOf(context, held), before, 'no token is consumed by it')
      for (const [scope, granted] of [
        [first, first],
        ['read', 'read'],
        ['write read', 'write read'],
        ['read read', 'read'],
        ['', `read write ${first}`],
      ] as const) {
        const answer = await token({ ...SIGN_IN, ...client, scope })
        t.match(answer, { status: 200, json: { scope: granted } }, scope)
      }
    },
  },
  {
    id: 'C10',
    title: 'names that JavaScript objects have are ordinary strings',
    async hold(t, { token, revoke, register, deployment, signIn }) {
      const names = ['__proto__', 'constructor', 'hasOwnProperty']
      const others = ['toString', 'valueOf', '__defineGetter__', 'prototype', 'length', 'then']
      for (const name of [...names, ...others]) {
        expectOAuthError(t, await token({ ...SIGN_IN, client_id: name }), 'invalid_client', name)
        expectOAuthError(t, await token({ ...SIGN_IN, username: name }), 'invalid_grant', name)
        expectOAuthError(t, await revoke({ client_id: name, token: 'x' }), 'invalid_client', name)
        expectOAuthError(t, await token({ ...SIGN_IN, grant_type: name }), 'unsupported_grant_type', name)
        expectOAuthError(t, await token({ ...SIGN_IN, scope: name }), 'invalid_scope', name)
        const parameters = `&${name}=x&${name}=y&${name}[grant_type]=z&${encodeURIComponent(name)}`
        t.equal((await token(encode(SIGN_IN) + parameters)).status, 200, `a parameter ${name}`)
      }
      for (const name of names) {
        await register(name, { scopes: [name] })
        await deployment.addUser(name, `password of ${name}`)
        const tokens = await signIn({
          client_id: name,
          username: name,
          password: `password of ${name}`,
          scope: name,
        })
        t.equal(tokens.scope, name)
        expectOAuthError(
          t,
          await token({ ...SIGN_IN, username: name }),
          'invalid_grant',
          'with its own password only',
        )
      }
      for (const name of others) {
        expectOAuthError(
          t,
          await token({ ...SIGN_IN, client_id: name }),
          'invalid_client',
          `${name} still is nobody`,
        )
      }
    },
  },
  {
    id: 'C11',
    title: 'what is too large is refused cheaply',
    async hold(t, { token, server, from, send, refresh, signIn }) {
      const plain = String(encode(SIGN_IN))
      const padded = (length: number) => `${plain}&x=${'y'.repeat(length - plain.length - 3)}`
      const LIMIT = 16 * 1024
      t.equal((await token(padded(LIMIT))).status, 200, '16 KiB')
      for (const path of ['/token', '/revoke', '/introspect']) {
        for (const length of [LIMIT + 1, 10 * LIMIT]) {
          const answer = await send('POST', path, { 'content-type': FORM_TYPE }, padded(length))
          expectOAuthError(t, answer, 'invalid_request', `${path} ${length}`)
        }
      }
      const parameters = (count: number) => plain + '&x=y'.repeat(count - plain.split('&').length)
      t.equal((await token(parameters(100))).status, 200, '100 parameters')
      expectOAuthError(t, await token(parameters(101)), 'invalid_request', '101 parameters')
      expectOAuthError(t, await token('&'.repeat(LIMIT - 1)), 'invalid_request', 'ampersands alone')
      const long = 'a'.repeat(15_000)
      expectOAuthError(t, await token({ ...SIGN_IN, client_id: long }), 'invalid_client', 'a long client_id')
      expectOAuthError(t, await token({ ...SIGN_IN, username: long }), 'invalid_grant', 'a long username')
      expectOAuthError(t, await token({ ...SIGN_IN, password: long }), 'invalid_grant', 'a long password')
      expectOAuthError(t, await token({ ...SIGN_IN, scope: long }), 'invalid_scope', 'a long scope')
      const refreshing = { grant_type: 'refresh_token', ...APP }
      expectOAuthError(t, await token({ ...refreshing, refresh_token: `prt_${long}` }), 'invalid_grant')

      const head = (...lines: string[]) =>
        [
          'POST /token HTTP/1.1',
          'Host: x',
          `Content-Type: ${FORM_TYPE}`,
          `X-Forwarded-For: ${from['x-forwarded-for']}`,
          ...lines,
          '',
          '',
        ].join('\r\n')
      const good = head(`Content-Length: ${plain.length}`, 'Connection: close') + plain
      const statusesOf = (received: string) =>
        [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)
      const timed = async (name: string, octets: string, statuses: string[][]) => {
        const begin = performance.now()
        const received = await sendRaw(server.port, octets)
        t.ok(performance.now() - begin < 4000, `${name}: at once`)
        const seen = statusesOf(received).join(' ')
        t.ok(
          statuses.some((expected) => expected.join(' ') === seen),
          `${name}: ${seen}`,
        )
        return received
      }
      // Either way of going on is fine: the next request on the connection is answered, or the connection closed.
      const endings = [['400'], ['400', '200']]
      const announced = await timed('a gigabyte announced', head('Content-Length: 1000000000'), endings)
      t.match(announced, /"error":"invalid_request"/)
      await timed('a body over the limit', head('Content-Length: 20000') + 'y'.repeat(20_000) + good, endings)
      const chunks = `${head('Transfer-Encoding: chunked')}5000\r\n${'y'.repeat(0x5000)}\r\n0\r\n\r\n`
      await timed('chunks over the limit', chunks + good, endings)
      const many = Array.from({ length: 40 }, (_, i) => `X-${i}: ${'y'.repeat(600)}`)
      const headers = await timed('headers over the limit', head(...many), [['431']])
      t.match(headers, /content-type: application\/problem\+json/i)
      await timed('one header over the limit', head(`X-Long: ${'y'.repeat(20_000)}`), [['431']])
      await timed('a URL over the limit', `GET /${'y'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, [['431']])
      const numerous = Array.from({ length: 1500 }, (_, i) => `a${i}: y`)
      await timed('more headers than anybody counts', head(...numerous, 'Connection: close'), [
        ['400'],
        ['431'],
      ])
      t.ok(await refresh(await signIn()), 'and others are served')
      t.equal(server.stderr, '', 'nothing on stderr')
    },
  },
]
