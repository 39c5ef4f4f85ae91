import type { Sign, SigningKey } from './signing-key.ts'

/**
 * Signs a JWT (RFC 7519). Equal payloads make equal tokens, to the letter but for the signature of ES256, which is
 * another each time.
 *
 * jose does everything else here with keys; the signing path goes around its handling of the key at each call, which
 * is a tenth of a signature (docs/decisions/0004-signing-path.md).
 *
 * @param typ the kind of token (RFC 8725 section 3.11): no kind may pass as another.
 * @param payload JSON.
 */
export async function signJwt(key: SigningKey, sign: Sign, typ: string, payload: string): Promise<string> {
  const input = signingInput(key, typ, payload)
  return `${input}.${await sign(key, input)}`
}

/** What is signed: header and payload in the one spelling that we use (RFC 7515 section 5.1). */
export function signingInput(key: SigningKey, typ: string, payload: string): string {
  return `${headerOf(key, typ)}.${Buffer.from(payload).toString('base64url')}`
}

const headers = new WeakMap<SigningKey, Map<string, string>>()

/** The header of a JWS, made once per key and `typ`. */
function headerOf(key: SigningKey, typ: string): string {
  const ofKey = headers.get(key) ?? new Map<string, string>()
  headers.set(key, ofKey)
  let header = ofKey.get(typ)
  if (header === undefined) {
    header = Buffer.from(JSON.stringify({ alg: key.alg, kid: key.kid, typ })).toString('base64url')
    ofKey.set(typ, header)
  }
  return header
}
