import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type JsonWebKey,
  type KeyObject,
  verify,
} from 'node:crypto'
import { CompactSign, compactVerify, importJWK } from 'jose'
import { test } from 'tap'
import {
  readSigningKey,
  type SigningAlg,
  type SigningKey,
  signingKeysOf,
  signOnPool,
  signOnThread,
} from '../../src/tokens/signing-key.ts'

const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string
const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength }).privateKey
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey

// The published example key of RFC 7517 appendix A.2, as PEM.
const RFC_KEY = `-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDS/HtqCh5sZxBK
64+Isldmm032ed2tCZtcSmzZqIAVtaEzvwuFbHhxtt8AC1VPzrPC7VErto8UXG6E
NHUvq1Khz8EkQI95tYpFeMFkKIVXifeiSeOEyy2fri1n/Zb7kmwZjgdzmf3IFcCv
CX3eWq3v9E3nDoJ/SHhDJDm/7rlgaNBHT8UNbZC/OpjfrxBAyJwC1pKrOzwolmCd
hv1zt3TOB0BkfO7qoxC9EvmFqOufWf3UJs6lshIPTyo0vKt2S35sVNaEAji8xAWH
pZ5m7R8ziUV3Y1xHCvdc+Swg0dpD4b/EGeIipvDQuzWMXjj5ywUK6v6QSBTxrBqk
nMqeoMqDAgMBAAECggEAX4cTteJY/gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoV
H+HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT
0/YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy/nHNKroADIkJ46pRUohsXywbReAdYaM
wFs9tv8d/cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2j
x4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL+Us2lG
VkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8QKBgQDzeL7si8wZegxcKyS/
vdMqvzrfsWI7tnbvO/yiPqltZRDIs9AFDG09WfAPbRH7rR5MOYPa6Ocy3k+ioyub
xF+Y2FVYO2OMyYIyM6lJeJwUePtc65UhhDKpVaVYSHp03foZVliT3c3wFz29jjXH
LwH1HPM4ZVDNe80S+fs7SdVt+wKBgQDd185H1y5ir7RL6aQUvOAi2AwR8XMHareF
Z6Ey4bSgK6qdve+hsvK6aqNVlA7V0it3CBOcJ2ljMFw59bmvfvQAVeOJZ+380YSK
i+ieLOEqmj1VVLvxPMWDGQh2t5xF7Oxn7WRh3+zWoNvG2QMSB8AhMAb0tScAO6fi
8hxvrJ6XGQKBgBuLD15HOmGvcvKCVvfyC4+MbqabtJc4vx+1U5EvMY+UnV93KBNK
IpmMMSItnpkwLntFDmuXaYBRsgSeHPLUNlReNNl0boCg0z/GpGIRaObQAO+0HvzZ
rbmGXNwt5tyNuBthr0ebEg8VMgDds6vC35/RFJrOq2Nzm/GHoipE4gY9AoGBALPZ
QB/X4IAbKBUfDmnNkfxNoMNvNq09pBjgIbyJZRExNXn6wOoblFLzHwXDKZ/Janlu
r8852GOUkkBe6THQv2oCN5xvCG6dQVG9CVIq2kTalHy4XEG/3fRheA4e3u+Fm0bK
G0aJ7o02DdcQmj+kzutY71q1/i9fLcV8OPeEP3IJAoGAGyM/p6JrXySiz1toFgKb
WV+JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa+Bk0KWNG
DjJHZDdDmFhW3AN7lI+puxk/mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKF
YItdldUKGzO6Ia6zTKhAVRU=
-----END PRIVATE KEY-----
`

test('the kid is the thumbprint that RFC 7638 section 3.1 computes', async (t) => {
  const { kid, publicJwk } = await readSigningKey(RFC_KEY)
  t.equal(kid, 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
  t.match(
    publicJwk.n,
    /^0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_/,
  )
})

test('what is published: public members only', async (t) => {
  const { kid, publicJwk } = await readSigningKey(RFC_KEY)
  t.strictSame(Object.keys(publicJwk).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'])
  t.match(publicJwk, { kty: 'RSA', e: 'AQAB', kid, use: 'sig', alg: 'RS256' })
})

test('a key of 2048 bits or more is read, from PKCS #8 as from PKCS #1', async (t) => {
  for (const bits of [2048, 3072]) {
    const key = rsa(bits)
    const { kid } = await readSigningKey(pemOf(key))
    t.match(kid, /^[A-Za-z0-9_-]{43}$/)
    const pkcs1 = key.export({ type: 'pkcs1', format: 'pem' }) as string
    t.equal((await readSigningKey(pkcs1)).kid, kid, 'the kid belongs to the key, not to its file')
  }
})

test('anything else is refused', async (t) => {
  const refusals: [what: string, pem: string, message: RegExp][] = [
    ['1024 bits', pemOf(rsa(1024)), /^holds an RSA key of 1024 bits, and RFC 7518 asks for 2048 or more$/],
    ['2047 bits', pemOf(rsa(2047)), /^holds an RSA key of 2047 bits/],
    [
      'P-384',
      pemOf(ec('P-384')),
      /^holds a key of the kind ec secp384r1, and tokens are signed with RSA, ECDSA/,
    ],
    ['P-521', pemOf(ec('P-521')), /^holds a key of the kind ec secp521r1/],
    ['secp256k1', pemOf(ec('secp256k1')), /^holds a key of the kind ec secp256k1/],
    ['Ed448', pemOf(generateKeyPairSync('ed448').privateKey), /^holds a key of the kind ed448/],
    ['X25519', pemOf(generateKeyPairSync('x25519').privateKey), /^holds a key of the kind x25519/],
    [
      'RSA-PSS',
      pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey),
      /^holds a key of the kind rsa-pss/,
    ],
    [
      'a public key',
      createPublicKey(RFC_KEY).export({ type: 'spki', format: 'pem' }) as string,
      /^holds no readable private key in PEM$/,
    ],
    ['a truncated PEM', RFC_KEY.slice(0, 800), /^holds no readable private key in PEM$/],
    ['a PEM with a damaged line', RFC_KEY.replace('MIIE', 'AAAA'), /^holds no readable private key in PEM$/],
    ['nothing', '', /^holds no readable private key in PEM$/],
    ['an encrypted key', encrypted(), /^holds no readable private key in PEM$/],
  ]
  for (const [what, pem, message] of refusals) {
    await t.rejects(readSigningKey(pem), { name: 'TypeError', message }, what)
  }
})

// OpenSSL reads the numbers as they are: such a key would sign, and no signature would verify.
test('a key that is damaged is refused', async (t) => {
  const jwk = createPrivateKey(RFC_KEY).export({ format: 'jwk' }) as Record<string, string>
  const damaged = (change: Record<string, string>) =>
    pemOf(createPrivateKey({ key: { ...jwk, ...change }, format: 'jwk' }))
  const otherDigit = (text = '') => text.slice(0, 40) + (text[40] === 'A' ? 'B' : 'A') + text.slice(41)
  t.ok(await readSigningKey(damaged({})))
  const refused = {
    name: 'TypeError',
    message: 'holds a key for RS256 whose parts do not belong together: the file is damaged',
  }
  await t.rejects(readSigningKey(damaged({ n: otherDigit(jwk.n) })), refused, 'one digit of the modulus')
  // With one of these alone OpenSSL finds another way to the right signature.
  const both = { d: otherDigit(jwk.d), p: otherDigit(jwk.p) }
  await t.rejects(readSigningKey(damaged(both)), refused, 'one digit of the exponent and of a prime')
  const one = { e: 'AQ', d: 'AQ', dp: 'AQ', dq: 'AQ' }
  await t.rejects(
    readSigningKey(damaged(one)),
    { name: 'TypeError' },
    'every text would be its own signature',
  )
})

function encrypted(): string {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
  })
  return privateKey
}

test('both ways of signing make the same signature, and the public key verifies it', async (t) => {
  const key = await readSigningKey(RFC_KEY)
  const signature = await signOnThread(key, 'header.payload')
  t.equal(await signOnPool(key, 'header.payload'), signature)
  t.not(await signOnPool(key, 'header.payloae'), signature)
  t.match(signature, /^[A-Za-z0-9_-]{342}$/)
  const publicKey = createPublicKey({ key: key.publicJwk as never, format: 'jwk' })
  t.ok(verify('RSA-SHA256', Buffer.from('header.payload'), publicKey, Buffer.from(signature, 'base64url')))
})

/** RFC 8037 appendix A.1. */
const RFC8037_KEY = {
  kty: 'OKP',
  crv: 'Ed25519',
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
}

/** RFC 7515 appendix A.3.1. */
const RFC7515_KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  d: 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI',
}
const readJwk = (jwk: JsonWebKey) => readSigningKey(pemOf(createPrivateKey({ key: jwk, format: 'jwk' })))

test('Ed25519: the kid is the thumbprint that RFC 8037 appendix A.3 computes', async (t) => {
  const { kid, alg, publicJwk } = await readJwk(RFC8037_KEY)
  t.equal(kid, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k')
  t.equal(alg, 'EdDSA')
  t.strictSame(publicJwk, { kty: 'OKP', crv: 'Ed25519', x: RFC8037_KEY.x, kid, use: 'sig', alg: 'EdDSA' })
})

test('Ed25519: the signature is that of RFC 8037 appendix A.4', async (t) => {
  const key = await readJwk(RFC8037_KEY)
  const input = 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc'
  const signature = 'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg'
  t.equal(await signOnThread(key, input), signature)
  t.equal(await signOnPool(key, input), signature)
})

test('P-256: the kid is the digest of the required members, in the order of RFC 7638 section 3.2', async (t) => {
  const { kid, alg, publicJwk } = await readJwk(RFC7515_KEY)
  const { crv, kty, x, y } = RFC7515_KEY
  t.equal(kid, hash('sha256', `{"crv":"${crv}","kty":"${kty}","x":"${x}","y":"${y}"}`, 'base64url'))
  t.equal(alg, 'ES256')
  t.strictSame(publicJwk, { kty, crv, x, y, kid, use: 'sig', alg: 'ES256' })
  const sec1 = createPrivateKey({ key: RFC7515_KEY, format: 'jwk' }).export({ type: 'sec1', format: 'pem' })
  t.equal((await readSigningKey(sec1 as string)).kid, kid, 'from a PEM of SEC 1 as from PKCS #8')
})

test('P-256: the signature is R and S side by side, and another each time', async (t) => {
  const key = await readJwk(RFC7515_KEY)
  const input = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.cGF5bG9hZA`
  const signatures = new Set<string>()
  // Often enough that R or S begins with a zero octet now and then, which DER would leave out.
  for (let i = 0; i < 600; i += 1) {
    const signature = await signOnThread(key, input)
    if (Buffer.from(signature, 'base64url').length !== 64) t.fail(`${signature} is not of 64 octets`)
    signatures.add(signature)
  }
  t.equal(signatures.size, 600)
  const [one = ''] = signatures
  await t.resolves(compactVerify(`${input}.${one}`, await importJWK(key.publicJwk, 'ES256')))
  await t.rejects(compactVerify(`${input}x.${one}`, await importJWK(key.publicJwk, 'ES256')))
  const theirs = await new CompactSign(Buffer.from('payload'))
    .setProtectedHeader({ alg: 'ES256' })
    .sign(key.privateKey)
  t.equal(theirs.split('.')[2]?.length, one.length, 'as jose makes it')
})

const NOW = 1_000_000
const asKey = (alg: SigningAlg) => ({ alg, kid: `a key for ${alg}` }) as SigningKey
const signer = (alg: SigningAlg, from: number) => ({ key: asKey(alg), since: from, from })
const chosen = (
  signers: readonly ReturnType<typeof signer>[],
  preferred: readonly SigningAlg[],
  alg?: SigningAlg,
) => signingKeysOf([], signers, preferred, () => NOW).of(alg).alg

test('which key signs', async (t) => {
  const settled = [signer('RS256', 1), signer('ES256', 3), signer('EdDSA', 2)]
  t.equal(chosen(settled, ['ES256', 'RS256']), 'ES256', 'the first that is configured')
  t.equal(chosen(settled, ['ES256', 'RS256'], 'RS256'), 'RS256', 'what the client asks for')
  t.equal(chosen(settled, ['RS256'], 'EdDSA'), 'RS256', 'and not what is configured no more')
  t.equal(chosen(settled.slice(0, 2), ['RS256'], 'EdDSA'), 'RS256', 'the default, where there is no such key')
  const keys = signingKeysOf([], settled, ['EdDSA', 'ES256'], () => NOW)
  t.strictSame([keys.active.alg, ...keys.algorithms], ['EdDSA', 'EdDSA', 'ES256', 'RS256'])

  const young = [signer('RS256', 1), signer('ES256', 2), signer('EdDSA', NOW + 1)]
  t.equal(chosen(young, ['EdDSA', 'RS256']), 'RS256', 'until then the next that is configured')
  t.equal(chosen(young, ['EdDSA']), 'ES256', 'or the one that began last')
  t.equal(chosen(young, ['RS256'], 'EdDSA'), 'RS256', 'whoever asks')
  t.strictSame(signingKeysOf([], young, ['EdDSA'], () => NOW).algorithms, ['ES256', 'RS256', 'EdDSA'])
  t.equal(signingKeysOf([], young, ['EdDSA'], () => NOW + 1).active.alg, 'EdDSA', 'from its moment on')
  t.equal(
    chosen([signer('ES256', NOW + 5), signer('EdDSA', NOW + 4)], ['ES256']),
    'EdDSA',
    'by a clock put back',
  )
  t.throws(() => signingKeysOf([], [], ['RS256']), TypeError)
})
