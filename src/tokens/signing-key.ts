import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'

const signOffThread = promisify(sign) as (algorithm: string, data: Buffer, key: KeyObject) => Promise<Buffer>

/** RFC 7518 section 3.3: a key of size 2048 bits or larger MUST be used. */
const MIN_MODULUS_BITS = 2048

/** One RSA key pair for access tokens. */
export interface SigningKey {
  /** The RFC 7638 thumbprint. */
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** What the JWKS publishes: public members only (RFC 7517). */
  readonly publicJwk: JWK
}

/** Every key that is published, and the one of them that signs. In a server it is live: see `watchKeys`. */
export interface SigningKeys {
  readonly active: SigningKey
  readonly published: readonly SigningKey[]
}

/**
 * Reads a private key in PEM.
 *
 * @throws {TypeError} when it is no RSA private key of at least 2048 bits, or damaged; the message continues "the key …".
 */
export async function readSigningKey(pem: string): Promise<SigningKey> {
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch {
    throw new TypeError('holds no readable private key in PEM')
  }
  if (privateKey.asymmetricKeyType !== 'rsa') throw new TypeError('holds no RSA key, and RS256 needs one')
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0
  if (bits < MIN_MODULUS_BITS) {
    throw new TypeError(`holds an RSA key of ${bits} bits, and RFC 7518 asks for ${MIN_MODULUS_BITS} or more`)
  }
  const publicKey = createPublicKey(privateKey)
  if (!isWhole(privateKey, publicKey)) {
    throw new TypeError('holds an RSA key whose parts do not belong together: the file is damaged')
  }
  const { kty, n, e } = (await exportJWK(publicKey)) as {
    kty: string
    n: string
    e: string
  }
  const kid = await calculateJwkThumbprint({ kty, n, e })
  return { kid, privateKey, publicKey, publicJwk: { kty, n, e, kid, use: 'sig', alg: 'RS256' } }
}

/**
 * Whether what the private key signs is what the public one verifies. OpenSSL reads the numbers of a damaged file as they
 * are; and of an exponent of 1 every text is its own signature (RFC 8017 section 3.1 has 3 as the least).
 */
function isWhole(privateKey: KeyObject, publicKey: KeyObject): boolean {
  if ((privateKey.asymmetricKeyDetails?.publicExponent ?? 0n) < 3n) return false
  const text = Buffer.from('pawl')
  try {
    return verify('RSA-SHA256', text, publicKey, sign('RSA-SHA256', text, privateKey))
  } catch {
    return false
  }
}

/** Signs the input of a JWS with RS256 (RFC 7518 section 3.3). */
export type Sign = (key: SigningKey, input: string) => string | Promise<string>

/** For one process per core: nothing else could use the core meanwhile. */
export const signOnThread: Sign = (key, input) =>
  sign('RSA-SHA256', Buffer.from(input), key.privateKey).toString('base64url')

/** For one process on several cores: the event loop goes on while another core signs. */
export const signOnPool: Sign = async (key, input) =>
  (await signOffThread('RSA-SHA256', Buffer.from(input), key.privateKey)).toString('base64url')
