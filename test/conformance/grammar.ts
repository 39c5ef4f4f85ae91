import fc, { type Arbitrary } from 'fast-check'
import { FORM_TYPE } from '../support/http-client.ts'
import { ADA, type ClientProof } from './context.ts'

/*
 * A grammar of requests that are nearly valid: each part is right most of the time, so that what is wrong with another
 * part gets as far into the server as it can.
 */

/** Stands in whatever is made up; no answer and no log line may have it. */
export const CANARY = 'c4n4ry'

/** What only the running server's own answers can give. */
export interface Ingredients {
  readonly web: Required<ClientProof>
  readonly basic: string
  readonly refresh_token: string
  readonly access_token: string
}

type Lines = readonly (readonly [name: string, value: string])[]

export interface GeneratedRequest {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly headers: Lines
  readonly body: string
  readonly framing: 'length' | 'chunked' | 'short' | 'long' | 'none' | 'both' | 'bad chunk'
}

function mostly<T>(weight: number, usual: Arbitrary<T>, ...others: Arbitrary<T>[]): Arbitrary<T> {
  return fc.oneof({ weight, arbitrary: usual }, ...others.map((arbitrary) => ({ weight: 1, arbitrary })))
}

/** Octets, written as Latin-1: everything that can stand in a request. */
const octet = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code))
const octets = fc.string({ unit: octet, maxLength: 20 })
const hostile = fc.constantFrom(
  ...[
    '"',
    '\\',
    '\r\n',
    '\t',
    '\0',
    '\xff',
    '\xc0\x80',
    '\xed\xa0\x80',
    '\xef\xbb\xbf',
    '<script>',
    "' OR 1=1 --",
  ],
  ...['%', '%zz', '%00', '%0d%0a', '%ff', '%ed%a0%80', '../..', '{{7*7}}', '[object Object]', '__proto__'],
  ...['constructor', 'null', 'undefined', 'NaN', '-1', '1e999', '{"$gt":""}', ' ', '\n'],
)
const canary = fc
  .tuple(mostly(3, hostile, octets, fc.constant('')), mostly(3, fc.constant(''), hostile))
  .map(([before, after]) => `${before}${CANARY}${after}`)
const long = fc.integer({ min: 100, max: 17_000 }).map((length) => CANARY.padEnd(length, 'x'))

/** A text with one place changed. */
function damaged(text: string): Arbitrary<string> {
  return fc
    .tuple(fc.nat({ max: text.length - 1 }), mostly(2, octet, fc.constant(''), hostile))
    .map(([at, change]) => text.slice(0, at) + change + text.slice(at + 1))
}

/** Form encoding, and what passes for it. */
const spelling = mostly<(text: string) => string>(
  4,
  fc.constant((text) => encodeLatin1(text)),
  fc.constant((text) => text),
  fc.constant((text) =>
    Array.from(text, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`).join(''),
  ),
)

function encodeLatin1(text: string): string {
  return Array.from(text, (char) =>
    /[A-Za-z0-9._~-]/.test(char) ? char : `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  ).join('')
}

function parameter(name: string, usual: string, ...others: string[]): Arbitrary<string> {
  const value = mostly<string>(
    80,
    fc.constant(usual),
    ...others.map((other) => fc.constant(other)),
    canary,
    fc.constant(''),
    long,
    damaged(usual || 'x'),
  )
  const names = mostly(
    100,
    fc.constant(name),
    fc.constant(name.toUpperCase()),
    fc.constant(`${name}[]`),
    canary,
  )
  return fc.tuple(names, value, spelling).map(([name, value, spell]) => `${name}=${spell(value)}`)
}

/** Each part there most of the time, now and then twice, in some order, with something between. */
function formOf(parts: readonly Arbitrary<string>[]): Arbitrary<string> {
  const each = parts.map((part) =>
    fc
      .tuple(part, mostly(50, fc.constant(1), fc.constant(0), fc.constant(2)))
      .map(([text, times]) => Array<string>(times).fill(text)),
  )
  const more = mostly(
    12,
    fc.constant<string[]>([]),
    canary.map((text) => [`${encodeLatin1(text)}=${encodeLatin1(text)}`]),
    canary.map((text) => [text]),
    fc.constant(['', '=', '&']),
    fc.integer({ min: 80, max: 200 }).map((count) => Array<string>(count).fill('x=y')),
  )
  return fc.tuple(fc.tuple(...each), more).chain(([texts, more]) => {
    const all = [...texts.flat(), ...more]
    return mostly(6, fc.constant(all), fc.shuffledSubarray(all)).map((chosen) => chosen.join('&'))
  })
}

/** How a request says who its client is: in the body, in a header, or in both. */
interface Proof {
  readonly parameters: readonly Arbitrary<string>[]
  readonly headers: Arbitrary<Lines>
}

function proofOf({ web, basic, access_token }: Ingredients): Arbitrary<Proof> {
  const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')
  const header = (value: string): Lines => [['Authorization', value]]
  const inBody = [
    parameter('client_id', web.client_id, 'app', 'nobody'),
    parameter('client_secret', web.client_secret),
  ]
  const none = fc.constant<Lines>([])
  const proof = (parameters: readonly Arbitrary<string>[], headers: Arbitrary<Lines>) =>
    fc.constant({ parameters, headers })
  return mostly<Proof>(
    8,
    proof(inBody, none),
    proof([], fc.constant(header(basic))),
    proof([], fc.constant(header(basic))),
    proof([parameter('client_id', web.client_id, 'app')], fc.constant(header(basic))),
    proof([parameter('client_id', 'app', 'api', 'nobody', '__proto__')], none),
    proof(inBody, fc.constant(header(basic))),
    proof([], damaged(basic).map(header)),
    proof(
      [],
      canary.map((text) => header(`Basic ${base64(`app:${text}`)}`)),
    ),
    proof(
      [],
      canary.map((text) => header(`Basic ${base64(text)}`)),
    ),
    proof(
      [],
      canary.map((text) => header(`Basic ${text}`)),
    ),
    proof(inBody, canary.map(header)),
    proof([], fc.constant(header(`Bearer ${access_token}`))),
    proof([], fc.constant([...header(basic), ...header(`Basic ${base64(`${CANARY}:x`)}`)])),
  )
}

function bodyOf(
  { refresh_token, access_token }: Ingredients,
  client: readonly Arbitrary<string>[],
): Arbitrary<string> {
  const scope = fc.oneof(
    fc.constant(''),
    parameter('scope', 'read', 'read write', 'read  write', 'write read admin'),
  )
  const token = parameter('token', access_token, 'a.b.c', `prt_${'A'.repeat(88)}`)
  const hint = parameter('token_type_hint', 'refresh_token', 'access_token')
  return mostly(
    6,
    formOf([
      parameter('grant_type', 'refresh_token'),
      parameter('refresh_token', refresh_token),
      scope,
      ...client,
    ]),
    formOf([parameter('grant_type', 'client_credentials', 'authorization_code'), scope, ...client]),
    formOf([parameter('grant_type', 'client_credentials'), scope, ...client]),
    formOf([token, hint, ...client]),
    formOf([token, ...client]),
    // Right passwords are rare: each costs a hash.
    formOf([
      parameter('grant_type', 'password'),
      parameter('username', CANARY, ADA.username),
      parameter('password', CANARY, ADA.password),
      ...client,
    ]),
    canary,
    octets,
    fc.json().map((json) => Buffer.from(json).toString('latin1')),
    fc.constant(''),
  )
}

const method = mostly(
  20,
  fc.constant('POST'),
  fc.constantFrom(
    'GET',
    'HEAD',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'post',
    'QUERY',
    'PROPFIND',
    'M-SEARCH',
  ),
  fc.constantFrom(CANARY.toUpperCase(), `GET${CANARY}`, ''),
)

const WELL_KNOWN = ['jwks.json', 'oauth-authorization-server', 'openid-configuration']
const path = mostly(
  16,
  fc.constantFrom('/token', '/token', '/revoke', '/introspect'),
  fc.constantFrom(...WELL_KNOWN.map((name) => `/.well-known/${name}`)),
  fc.constantFrom(
    '/',
    '/token/',
    '//token',
    '/token/../token',
    '/TOKEN',
    '*',
    '',
    'token',
    '/health/live',
    '/openapi.json',
  ),
  fc.constantFrom(
    `http://${CANARY}.example/token`,
    `/${CANARY}`,
    `/token;${CANARY}`,
    `/.well-known/${CANARY}`,
  ),
  fc.tuple(fc.constantFrom('/', '/token', '/.well-known/'), canary).map(([path, text]) => path + text),
  octets.map((text) => `/${text}`),
)
const target = fc
  .tuple(
    path,
    mostly(
      6,
      fc.constant(''),
      canary.map((text) => `?${encodeLatin1(text)}`),
      fc.constantFrom('?', '?client_id=app', '#x', `?grant_type=${CANARY}`),
    ),
  )
  .map(([path, query]) => path + query)

const contentType = mostly<Lines>(
  30,
  fc.constant([['Content-Type', FORM_TYPE]]),
  fc.constant([['Content-Type', `${FORM_TYPE}; charset=UTF-8`]]),
  fc
    .constantFrom(
      'application/json',
      'multipart/form-data; boundary=x',
      'text/plain',
      `${FORM_TYPE}\t${CANARY}`,
      `${FORM_TYPE}; charset=${CANARY}`,
    )
    .map((type) => [['Content-Type', type]] as const),
  canary.map((text) => [['Content-Type', text]] as const),
  fc.constant([]),
)

const moreHeaders = fc.array(
  fc.oneof(
    fc
      .constantFrom(
        ['Accept', 'application/token-introspection+jwt'],
        ['Accept', CANARY],
        ['Origin', `https://${CANARY}.example`],
        ['Origin', 'null'],
        ['Access-Control-Request-Method', 'POST'],
        ['Access-Control-Request-Headers', CANARY],
        ['Expect', '100-continue'],
        ['Expect', CANARY],
        ['Connection', 'Upgrade'],
        ['Upgrade', CANARY],
        ['Content-Encoding', 'gzip'],
        ['If-None-Match', `"${CANARY}"`],
        ['If-None-Match', '*'],
        ['Host', CANARY],
        ['X-Forwarded-Host', CANARY],
        ['X-Forwarded-For', CANARY],
        ['X-Forwarded-Proto', CANARY],
        ['Forwarded', `for=${CANARY}`],
        ['Cookie', `${CANARY}=${CANARY}`],
        ['Request-Id', CANARY],
        ['X-HTTP-Method-Override', 'DELETE'],
        ['Accept-Version', CANARY],
        ['Transfer-Encoding', 'gzip, chunked'],
        ['__proto__', CANARY],
      )
      .map(([name = '', value = '']) => [name, value] as const),
    canary.map((text) => ['X-Generated', text] as const),
    fc.tuple(canary, canary),
  ),
  { maxLength: 3 },
)

const framing = mostly<GeneratedRequest['framing']>(
  30,
  fc.constant('length'),
  fc.constant('chunked'),
  fc.constantFrom('short', 'long', 'none', 'both', 'bad chunk'),
)

/** A request that is nearly valid. */
export function requestOf(ingredients: Ingredients): Arbitrary<GeneratedRequest> {
  return proofOf(ingredients).chain(({ parameters, headers }) =>
    fc
      .record({
        method,
        target,
        version: mostly(
          40,
          fc.constant('HTTP/1.1'),
          fc.constantFrom('HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', CANARY, ''),
        ),
        type: contentType,
        headers,
        more: mostly<Lines>(4, fc.constant([]), moreHeaders),
        body: bodyOf(ingredients, parameters),
        framing,
      })
      .map(({ type, headers, more, ...rest }) => ({ ...rest, headers: [...type, ...headers, ...more] })),
  )
}

/** The request on the wire. @param address where it is to seem to come from. */
export function octetsOf(
  { method, target, version, headers, body, framing }: GeneratedRequest,
  address: string,
): Buffer {
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const [lines, sent] = {
    length: [[['Content-Length', `${body.length}`]], body],
    short: [[['Content-Length', `${Math.max(0, body.length - 3)}`]], body],
    long: [[['Content-Length', `${body.length + 3}`]], body],
    none: [[], body],
    chunked: [[['Transfer-Encoding', 'chunked']], body === '' ? '0\r\n\r\n' : chunks],
    'bad chunk': [[['Transfer-Encoding', 'chunked']], `${CANARY}\r\n${body}\r\n`],
    both: [
      [
        ['Transfer-Encoding', 'chunked'],
        ['Content-Length', `${body.length}`],
      ],
      chunks,
    ],
  }[framing] as [[string, string][], string]
  const all = [
    ['Host', 'localhost'],
    ...headers,
    ['X-Forwarded-For', address],
    ['Connection', 'close'],
    ...lines,
  ]
  const head = all.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.from(`${method} ${target} ${version}\r\n${head}\r\n${sent}`, 'latin1')
}
