import { sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { errors } from 'jose'
import { signAccessToken, verifyAccessToken } from '../../../src/tokens/access-token.ts'
import { readSigningKey, signingKeysOf, signOnThread } from '../../../src/tokens/signing-key.ts'
import { rsaKey } from '../rsa.ts'
import { type Target, Violation } from '../target.ts'

const ISSUER = 'https://login.example/pawl'
const pemOf = (seed: number) => String(rsaKey(2048, seed).export({ type: 'pkcs8', format: 'pem' }))
const [active, former, thief] = await Promise.all([1, 2, 3].map((seed) => readSigningKey(pemOf(seed))))
const keys = signingKeysOf([active!, former!], [{ key: active!, since: undefined, from: 0 }], ['RS256'])

const claims = {
  iss: ISSUER,
  sub: 'usr_8Zk3',
  aud: 'https://api.example',
  exp: 4_102_444_800,
  iat: 1_700_000_000,
  jti: 'bG9jYXRvciEh1dR8LNuOrQ',
  client_id: 'web',
  scope: 'read write',
  sid: 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mws',
}
const header = { alg: 'RS256', kid: active!.kid, typ: 'at+jwt' }
const encoded = (text: string) => Buffer.from(text).toString('base64url')

const token = (typ: 'at+jwt' | 'JWT', scope: readonly string[]) =>
  signAccessToken(active!, signOnThread, {
    ...{ iss: ISSUER, sub: claims.sub, aud: [claims.aud], exp: claims.exp, iat: claims.iat },
    ...{ clientId: 'web', scope, authTime: claims.iat, sid: claims.sid, distinction: '7', extra: {}, typ },
  })
const genuine = [await token('at+jwt', ['read', 'write']), await token('JWT', [])]

/** What of this says JSON: as it is, with a member twice, with one more, in another order, with white space. */
function spellings(members: Readonly<Record<string, unknown>>, more: string): readonly string[] {
  const text = JSON.stringify(members)
  return [
    ...[text, text, text, text.replace('{', `{${more},`), text.replace(/\}$/, `,${more}}`)],
    ...[
      JSON.stringify(Object.fromEntries(Object.entries(members).reverse())),
      JSON.stringify(members, null, 1),
    ],
    ...[text.replace('"', '"\\u0061').replace('\\u0061a', '\\u0061'), ` ${text}`, `[${text}]`, 'null', '{}'],
  ]
}

const changedHeader = fc.constantFrom<Readonly<Record<string, unknown>>>(
  ...[header, header, header, { ...header, kid: former!.kid }, { ...header, typ: 'JWT' }],
  ...['none', 'None', 'HS256', 'RS512', 'PS256', 'ES256', ''].map((alg) => ({ ...header, alg })),
  ...[
    { ...header, kid: thief!.kid },
    { ...header, kid: undefined },
    { ...header, typ: 'at+JWT' },
  ],
  ...[
    { ...header, crit: ['x'], x: 1 },
    { ...header, crit: ['b64'], b64: false },
    { ...header, b64: false },
  ],
  ...[
    { ...header, jwk: thief!.publicJwk },
    { ...header, jku: 'https://thief.example' },
    { ...header, x5u: 'x' },
  ],
  ...[
    { ...header, zip: 'DEF' },
    { ...header, cty: 'JWT' },
    { ...header, alg: 'PBES2-HS256+A128KW', p2c: 1e9 },
  ],
)
const changedClaims = fc.constantFrom<Readonly<Record<string, unknown>>>(
  ...[claims, claims, claims, { ...claims, aud: ['a', 'b'] }, { ...claims, extra: { __proto__: null } }],
  ...[
    { ...claims, iss: `${ISSUER}/` },
    { ...claims, exp: 1 },
    { ...claims, exp: '4102444800' },
  ],
  ...[
    { ...claims, exp: Number.POSITIVE_INFINITY },
    { ...claims, nbf: 4_000_000_000 },
    { ...claims, sub: undefined },
  ],
)
const grammar = fc
  .record({
    head: changedHeader.chain((head) => fc.constantFrom(...spellings(head, '"alg":"none"'))),
    body: changedClaims.chain((body) => fc.constantFrom(...spellings(body, '"sub":"usr_root"'))),
    key: fc.oneof({ weight: 5, arbitrary: fc.constant(active!) }, fc.constantFrom(former!, thief!)),
  })
  .map(({ head, body, key }) => {
    const input = `${encoded(head)}.${encoded(body)}`
    return `${input}.${sign('RSA-SHA256', Buffer.from(input), key.privateKey).toString('base64url')}`
  })

/** RFC 9068 section 4 and RFC 8725, read as strictly as can be. */
function isOurs(text: string): boolean {
  const parts = text.split('.')
  if (parts.length !== 3 || parts.some((part) => respelt(part) !== part)) return false
  const [head = '', body = ''] = parts.map((part) => Buffer.from(part, 'base64url').toString())
  const key = keys.published.find(({ kid }) =>
    ['at+jwt', 'JWT'].some((typ) => head === `{"alg":"RS256","kid":"${kid}","typ":"${typ}"}`),
  )
  if (!key) return false
  const input = text.slice(0, text.lastIndexOf('.'))
  if (!verify('RSA-SHA256', Buffer.from(input), key.publicKey, Buffer.from(parts[2]!, 'base64url')))
    return false
  const said = (JSON.parse(body) ?? {}) as Record<string, unknown>
  const needed = ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope']
  return (
    JSON.stringify(said) === body &&
    needed.every((name) => said[name] !== undefined) &&
    said.iss === ISSUER &&
    Number.isFinite(said.exp) &&
    Number(said.exp) > Date.now() / 1000 &&
    (said.nbf === undefined || Number(said.nbf) <= Date.now() / 1000)
  )
}

const respelt = (part: string) => Buffer.from(part, 'base64url').toString('base64url')

export const ACCESS_TOKEN: Target = {
  name: 'access-token',
  share: 40,
  seeds: genuine.map((text) => Buffer.from(text)),
  grammar,
  async hold(input) {
    const text = input.toString()
    let taken = true
    try {
      await verifyAccessToken(keys, ISSUER, text)
    } catch (error) {
      const isDeclared = error instanceof errors.JOSEError || (error as Error).constructor === TypeError
      if (!isDeclared) throw error
      taken = false
    }
    if (taken !== isOurs(text))
      throw new Violation(taken ? 'taken, and not ours to the letter' : 'ours, and refused')
  },
}
