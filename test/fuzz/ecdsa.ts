import { createECDH, createHash, createPrivateKey, type ECDH, type KeyObject } from 'node:crypto'
import { inverse } from './rsa.ts'

/** The order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3). */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** A key for ES256 that is the same at every run. */
export function ecKey(seed: string): KeyObject {
  const scalar = scalarOf(seed)
  const point = pointOf(scalar).getPublicKey()
  const [x, y, d] = [point.subarray(1, 33), point.subarray(33), octets(scalar)].map((part) =>
    part.toString('base64url'),
  ) as [string, string, string]
  return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d }, format: 'jwk' })
}

/**
 * An ES256 signature that is the same at every run, as those of OpenSSL are not: its nonce is made of the key and the
 * text. For tests alone, since it takes longer where numbers are larger.
 */
export function ecSignature(key: KeyObject, text: string): Buffer {
  const d = BigInt(`0x${Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url').toString('hex')}`)
  const k = scalarOf(`${d} ${text}`)
  const r = numberOf(pointOf(k).getPublicKey().subarray(1, 33)) % N
  const z = numberOf(createHash('sha256').update(text).digest())
  const s = (inverse(k, N) * ((z + r * d) % N)) % N
  return Buffer.concat([octets(r), octets(s)])
}

function pointOf(scalar: bigint): ECDH {
  const point = createECDH('prime256v1')
  point.setPrivateKey(octets(scalar))
  return point
}

/** From 1 to below the order. */
function scalarOf(text: string): bigint {
  return (numberOf(createHash('sha256').update(text).digest()) % (N - 1n)) + 1n
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

function octets(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}
