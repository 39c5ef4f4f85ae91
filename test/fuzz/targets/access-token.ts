import { createPrivateKey, type KeyObject, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { errors } from 'jose'
import { signAccessToken, verifyAccessToken } from '../../../src/tokens/access-token.ts'
import { readSigningKey, type Sign, type SigningKey, signingKeysOf } from '../../../src/tokens/signing-key.ts'
import { ecKey, ecSignature } from '../ecdsa.ts'
import { rsaKey } from '../rsa.ts'
import { type Target, Violation } from '../target.ts'

const ISSUER = 'https://login.example/pawl'
const read = (key: KeyObject) => readSigningKey(String(key.export({ type: 'pkcs8', format: 'pem' })))
const [active, former, thief] = await Promise.all([1, 2, 3].map((seed) => read(rsaKey(2048, seed))))
const [ec, ecThief] = await Promise.all(['ours', 'of a thief'].map((seed) => read(ecKey(seed))))
// A private key of Ed25519 is any 32 octets, and RFC 8410 puts these sixteen before them.
const ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const ed = await read(
  createPrivateKey({ key: Buffer.concat([ED25519, Buffer.alloc(32, 7)]), format: 'der', type: 'pkcs8' }),
)
const owners = [active!, ec!, ed]
const keys = signingKeysOf(
  [...owners, former!],
  owners.map((key) => ({ key, since: undefined, from: 0 })),
  ['RS256', 'ES256', 'EdDSA'],
)

/** By the key's own algorithm, whatever the header says; the same at every run. */
const signedBy: Sign = ({ alg, privateKey }, input) =>
  (alg === 'ES256'
    ? ecSignature(privateKey, input)
    : sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), privateKey)
  ).toString('base64url')

function isSignedBy({ alg, publicKey }: SigningKey, input: string, signature: Buffer): boolean {
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
  return verify(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), key, signature)
}

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
const encoded = (text: string) => Buffer.from(text).toString('base64url')

const token = (key: SigningKey, typ: 'at+jwt' | 'JWT', scope: readonly string[]) =>
  signAccessToken(key, signedBy, {
    ...{ iss: ISSUER, sub: claims.sub, aud: [claims.aud], exp: claims.exp, iat: claims.iat },
    ...{ clientId: 'web', scope, authTime: claims.iat, sid: claims.sid, distinction: '7', extra: {}, typ },
  })
const genuine = await Promise.all(
  owners.flatMap((key) => [token(key, 'at+jwt', ['read', 'write']), token(key, 'JWT', [])]),
)

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

const headersOf = (header: Readonly<Record<string, unknown>>) => [
  ...[header, header, header, { ...header, kid: former!.kid }, { ...header, typ: 'JWT' }],
  ...['none', 'None', 'HS256', 'RS512', 'PS256', 'RS256', 'ES256', 'EdDSA', ''].map((alg) => ({
    ...header,
    alg,
  })),
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
]
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
const grammarOf = (owner: SigningKey) =>
  fc.record({
    head: fc
      .constantFrom(...headersOf({ alg: owner.alg, kid: owner.kid, typ: 'at+jwt' }))
      .chain((head) => fc.constantFrom(...spellings(head, '"alg":"none"'))),
    body: changedClaims.chain((body) => fc.constantFrom(...spellings(body, '"sub":"usr_root"'))),
    key: fc.oneof(
      { weight: 5, arbitrary: fc.constant(owner) },
      fc.constantFrom(...owners, former!, thief!, ecThief!),
    ),
  })
const grammar = fc
  .constantFrom(...owners)
  .chain(grammarOf)
  .map(({ head, body, key }) => {
    const input = `${encoded(head)}.${encoded(body)}`
    return `${input}.${signedBy(key, input)}`
  })

/** RFC 9068 section 4 and RFC 8725, read as strictly as can be. */
function isOurs(text: string): boolean {
  const parts = text.split('.')
  if (parts.length !== 3 || parts.some((part) => respelt(part) !== part)) return false
  const [head = '', body = ''] = parts.map((part) => Buffer.from(part, 'base64url').toString())
  const key = keys.published.find(({ alg, kid }) =>
    ['at+jwt', 'JWT'].some((typ) => head === `{"alg":"${alg}","kid":"${kid}","typ":"${typ}"}`),
  )
  if (!key) return false
  const input = text.slice(0, text.lastIndexOf('.'))
  if (!isSignedBy(key, input, Buffer.from(parts[2]!, 'base64url'))) return false
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
