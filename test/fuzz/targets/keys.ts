import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { secretIn } from '../../../src/keys/key-files.ts'
import { parseRing, serialise } from '../../../src/keys/ring-file.ts'
import { readSigningKey } from '../../../src/tokens/signing-key.ts'
import { mustNotEcho } from '../echo.ts'
import { rsaKey } from '../rsa.ts'
import { mustBe, type Target } from '../target.ts'

const key = rsaKey(2048, 1)
const small = rsaKey(1024, 4)
const elliptic = createPrivateKey({
  // Of RFC 7515 appendix A.3.
  key: {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    d: 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI',
  },
  format: 'jwk',
})
const edwards = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, 5)]),
  format: 'der',
  type: 'pkcs8',
})
const pems = [
  key.export({ type: 'pkcs8', format: 'pem' }),
  key.export({ type: 'pkcs1', format: 'pem' }),
  key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' }),
  createPublicKey(key).export({ type: 'spki', format: 'pem' }),
  small.export({ type: 'pkcs8', format: 'pem' }),
  elliptic.export({ type: 'pkcs8', format: 'pem' }),
  edwards.export({ type: 'pkcs8', format: 'pem' }),
].map(String)
const der = key.export({ type: 'pkcs1', format: 'der' })

/** A key in which some octets are others, in an envelope that is right. */
const damaged = fc
  .array(fc.tuple(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 })
  .map((changes) => {
    const changed = Buffer.from(der)
    for (const [at, octet] of changes) changed[at] = octet
    const lines = changed.toString('base64').match(/.{1,64}/g) ?? []
    return `-----BEGIN RSA PRIVATE KEY-----\n${lines.join('\n')}\n-----END RSA PRIVATE KEY-----\n`
  })

/** The public members of a key of each kind, in the order of the alphabet (RFC 7518 section 6, RFC 8037 section 2). */
const MEMBERS = {
  RS256: 'alg,e,kid,kty,n,use',
  ES256: 'alg,crv,kid,kty,use,x,y',
  EdDSA: 'alg,crv,kid,kty,use,x',
}

export const SIGNING_KEY: Target = {
  name: 'signing-key',
  share: 10,
  seeds: pems.map((pem) => Buffer.from(pem)),
  grammar: fc.oneof({ weight: 3, arbitrary: damaged }, fc.constantFrom(...pems)),
  async hold(input) {
    const text = input.toString()
    let read: Awaited<ReturnType<typeof readSigningKey>>
    try {
      read = await readSigningKey(text)
    } catch (error) {
      mustBe((error as Error).constructor === TypeError, `it throws ${(error as Error).name}`)
      return mustNotEcho((error as Error).message, text)
    }
    const { alg, privateKey, publicKey, publicJwk } = read
    mustBe(Object.keys(publicJwk).sort().join() === MEMBERS[alg], 'other members are published')
    const { modulusLength = 0, publicExponent = 0n } = privateKey.asymmetricKeyDetails ?? {}
    mustBe(alg !== 'RS256' || (modulusLength >= 2048 && publicExponent >= 3n), 'a weak key is taken')
    const digest = alg === 'EdDSA' ? null : 'sha256'
    const data = Buffer.from('what is signed')
    let verifies = false
    try {
      verifies = verify(digest, data, publicKey, sign(digest, data, privateKey))
    } catch {}
    mustBe(verifies, 'a key is taken that makes signatures which do not verify')
  },
}

const state = fc.constantFrom('next', 'active', 'retiring', 'retired', 'gone', '')
const time = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('2026-11-20T12:00:00.000Z', '2026-01-01T00:00:00Z') },
  fc.constantFrom(
    '',
    'now',
    '2026',
    '+275760-09-13T00:00:00.001Z',
    '-271821-04-20T00:00:00.000Z',
    'Invalid Date',
  ),
)
const life = fc.oneof(
  { weight: 9, arbitrary: fc.nat().map(String) },
  fc.constantFrom('-1', '1e999', '1.5', '1e21', 'null', '"300"', '-0', '9007199254740993'),
)
const ringKey = fc
  .record({ id: fc.constantFrom('a', 'b', 'c', 'd', '__proto__'), state, published: time, since: time, life })
  .map(
    ({ id, state, published, since, life }) =>
      `{"id":"${id}","state":"${state}","published":"${published}","since":"${since}","life":${life}}`,
  )

export const RING_FILE: Target = {
  name: 'ring-file',
  share: 100,
  grammar: fc.array(ringKey, { maxLength: 4 }).map((keys) => `{"keys":[${keys.join()}]}`),
  hold(input) {
    let ring: ReturnType<typeof parseRing>
    try {
      ring = parseRing(input.toString())
    } catch {
      // Whatever it throws: it is not repeated, the file is named instead.
      return
    }
    mustBe(ring.filter(({ state }) => state === 'active').length === 1, 'not one active key')
    mustBe(new Set(ring.map(({ id }) => id)).size === ring.length, 'a key twice')
    for (const { published, since, life } of ring) {
      mustBe([published, since].every(Number.isSafeInteger), 'a time that is none')
      mustBe(Number.isFinite(life) && life >= 0, 'a life that is none')
    }
    const written = serialise(ring)
    mustBe(
      JSON.stringify(parseRing(written)) === JSON.stringify(ring),
      'what is written is not read as it was',
    )
  },
}

const secret = fc.uint8Array({ minLength: 30, maxLength: 34 }).map((bytes) => Buffer.from(bytes))
const around = fc.constantFrom('', '\n', '\r\n', ' ', '\ufeff', '=', '==', 'x', '!')

export const SECRET_FILE: Target = {
  name: 'secret-file',
  share: 50,
  grammar: fc
    .tuple(around, secret, fc.constantFrom('base64url' as const, 'base64' as const, 'hex' as const), around)
    .map(([before, secret, spelling, after]) => before + secret.toString(spelling) + after),
  hold(input) {
    const text = input.toString()
    const read = secretIn(text)
    const plain = text.trim().replace(/=$/, '').replaceAll('+', '-').replaceAll('/', '_')
    const isSecret = plain.length === 43 && /^[A-Za-z0-9_-]+$/.test(plain)
    mustBe((read !== undefined) === isSecret, isSecret ? 'a secret is refused' : 'what is no secret is taken')
    mustBe(!read || read.toString('base64url').slice(0, 42) === plain.slice(0, 42), 'another secret')
  },
}
