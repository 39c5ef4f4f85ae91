import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'

/**
 * What tokens can be signed with, by the names of RFC 7518 section 3.1 and RFC 8037 section 3.1: RSA with SHA-256, ECDSA
 * on P-256 with SHA-256, and Ed25519.
 */
export const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const
export type SigningAlg = (typeof SIGNING_ALGS)[number]

/** RFC 7518 section 3.3: a key of size 2048 bits or larger MUST be used. */
const MIN_MODULUS_BITS = 2048

/** One key pair for access tokens. It is of one algorithm, and never used with another (RFC 8725 section 3.1). */
export interface SigningKey {
  /** The RFC 7638 thumbprint. */
  readonly kid: string
  readonly alg: SigningAlg
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** What the JWKS publishes: public members only (RFC 7517). */
  readonly publicJwk: JWK
}

/** Every key that is published, and those of them that sign. In a server it is live: see `watchKeys`. */
export interface SigningKeys {
  /** What signs where nobody asks for an algorithm. */
  readonly active: SigningKey
  readonly published: readonly SigningKey[]
  /** The algorithms that a token may be signed with: now, the active key's first, and then those that begin later. */
  readonly algorithms: readonly SigningAlg[]
  /** What signs with this algorithm; the active key where none does. */
  of(alg: SigningAlg | undefined): SigningKey
}

/** The active key of one algorithm's ring. */
export interface Signer {
  readonly key: SigningKey
  /** When it began to sign, in milliseconds since 1970; `undefined` where no ring file says so. */
  readonly since: number | undefined
  /** Before this moment it signs nothing: not every verifier knows it. 0 where there was a key before it. */
  readonly from: number
}

/** The algorithms of a ring's private keys, by type and curve: no other curve has one that we offer. */
const ALG_OF_TYPE: Readonly<Record<string, SigningAlg>> = {
  rsa: 'RS256',
  'ec prime256v1': 'ES256',
  ed25519: 'EdDSA',
}

/**
 * Reads a private key in PEM.
 *
 * @throws {TypeError} when it is none that a token can be signed with, or is damaged; the message continues "the key …".
 */
export async function readSigningKey(pem: string): Promise<SigningKey> {
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch {
    throw new TypeError('holds no readable private key in PEM')
  }
  const { asymmetricKeyType: type = '', asymmetricKeyDetails: details = {} } = privateKey
  const kind = type === 'ec' ? `ec ${details.namedCurve}` : type
  const alg = ALG_OF_TYPE[kind]
  if (!alg) {
    throw new TypeError(
      `holds a key of the kind ${kind}, and tokens are signed with RSA, ECDSA on P-256 or Ed25519`,
    )
  }
  const bits = details.modulusLength ?? 0
  if (alg === 'RS256' && bits < MIN_MODULUS_BITS) {
    throw new TypeError(`holds an RSA key of ${bits} bits, and RFC 7518 asks for ${MIN_MODULUS_BITS} or more`)
  }
  const publicKey = createPublicKey(privateKey)
  if (!isWhole(alg, privateKey, publicKey)) {
    throw new TypeError(`holds a key for ${alg} whose parts do not belong together: the file is damaged`)
  }
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, alg, privateKey, publicKey, publicJwk: { ...jwk, kid, use: 'sig', alg } }
}

/**
 * Whether what the private key signs is what the public one verifies. OpenSSL reads the numbers of a damaged file as they
 * are; and of an RSA exponent of 1 every text is its own signature (RFC 8017 section 3.1 has 3 as the least).
 */
function isWhole(alg: SigningAlg, privateKey: KeyObject, publicKey: KeyObject): boolean {
  if (alg === 'RS256' && (privateKey.asymmetricKeyDetails?.publicExponent ?? 0n) < 3n) return false
  const digest = alg === 'EdDSA' ? null : 'sha256'
  const text = Buffer.from('pawl')
  try {
    return verify(digest, text, publicKey, sign(digest, text, privateKey))
  } catch {
    return false
  }
}

/**
 * The keys of every ring together.
 *
 * @param signers the active key of each ring.
 * @param preferred the algorithms to sign with, the default first. Until its key may sign, the next one's does; and where
 *   none of them may, the one that began last.
 */
export function signingKeysOf(
  published: readonly SigningKey[],
  signers: readonly Signer[],
  preferred: readonly SigningAlg[],
  clock: () => number = Date.now,
): SigningKeys {
  const [first] = signers.toSorted((a, b) => a.from - b.from)
  if (!first) throw new TypeError('There is no key to sign with')
  function inOrder(): SigningKey[] {
    const now = clock()
    const rankOf = ({ key }: Signer) => {
      const rank = preferred.indexOf(key.alg)
      return rank < 0 ? preferred.length : rank
    }
    const known = signers
      .filter(({ from }) => from <= now)
      .sort((a, b) => rankOf(a) - rankOf(b) || (b.since ?? 0) - (a.since ?? 0))
    // By a clock that was put back, none has begun.
    return (known.length > 0 ? known : [first!]).map(({ key }) => key)
  }
  return {
    get active() {
      return inOrder()[0]!
    },
    published,
    get algorithms() {
      // Whoever goes by the metadata for as long as by the JWKS must know beforehand.
      return [...new Set([...inOrder(), ...signers.map(({ key }) => key)].map(({ alg }) => alg))]
    },
    of(alg) {
      const keys = inOrder()
      // What was taken out of the list signs no more, whoever asked for it once.
      const isOffered = alg !== undefined && preferred.includes(alg)
      return (isOffered && keys.find((key) => key.alg === alg)) || keys[0]!
    },
  }
}

/** Signs the input of a JWS with a key's own algorithm (RFC 7518 sections 3.3 and 3.4, RFC 8037 section 3.1). */
export type Sign = (key: SigningKey, input: string) => string | Promise<string>

/** For one process per core: nothing else could use the core meanwhile. */
export const signOnThread: Sign = ({ alg, privateKey }, input) =>
  SIGNATURE_OF[alg](Buffer.from(input), privateKey).toString('base64url')

const SIGNATURE_OF: Readonly<Record<SigningAlg, (data: Buffer, key: KeyObject) => Buffer>> = {
  RS256: (data, key) => sign('RSA-SHA256', data, key),
  // RFC 7518 section 3.4: R and S side by side, not in DER.
  ES256: (data, key) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  EdDSA: (data, key) => sign(undefined, data, key),
}

const rs256OffThread = promisify(sign) as (algorithm: string, data: Buffer, key: KeyObject) => Promise<Buffer>

/**
 * For one process on several cores: the event loop goes on while another core makes an RSA signature. The others are made
 * in less time than the pool takes to hand them over and back.
 */
export const signOnPool: Sign = async (key, input) =>
  key.alg === 'RS256'
    ? (await rs256OffThread('RSA-SHA256', Buffer.from(input), key.privateKey)).toString('base64url')
    : signOnThread(key, input)
