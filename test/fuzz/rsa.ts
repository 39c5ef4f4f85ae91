import { checkPrimeSync, createPrivateKey, type KeyObject } from 'node:crypto'
import { Random } from './random.ts'

const E = 65_537n

/** An RSA key that is the same at every run, so that what is made with it is too; and that no file has to hold. */
export function rsaKey(bits: number, seed: number): KeyObject {
  const random = new Random(seed)
  const [p, q] = [primeOf(bits / 2, random), primeOf(bits / 2, random)]
  const d = inverse(E, (p - 1n) * (q - 1n))
  const members = { n: p * q, e: E, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) }
  const jwk = Object.fromEntries(Object.entries(members).map(([name, value]) => [name, base64url(value)]))
  return createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' })
}

/** A prime of so many bits whose two highest are set, so that the product of two has twice as many. */
function primeOf(bits: number, random: Random): bigint {
  const bytes = random.bytes(bits / 8)
  bytes[0] = bytes[0]! | 0xc0
  let candidate = BigInt(`0x${bytes.toString('hex')}`) | 1n
  while (candidate % E === 1n || !checkPrimeSync(candidate)) candidate += 2n
  return candidate
}

/** The inverse of `a` modulo `m`, by Euclid. */
export function inverse(a: bigint, m: bigint): bigint {
  let [r0, r1, s0, s1] = [a % m, m, 1n, 0n]
  while (r1 !== 0n) {
    const quotient = r0 / r1
    ;[r0, r1, s0, s1] = [r1, r0 - quotient * r1, s1, s0 - quotient * s1]
  }
  return ((s0 % m) + m) % m
}

function base64url(value: bigint): string {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex').toString('base64url')
}
