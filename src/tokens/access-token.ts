import { hash } from 'node:crypto'
import type { Sign, SigningKey, SigningKeys } from './signing-key.ts'

/** What an access token says (RFC 9068 section 2.2). Times are seconds since 1970. */
export interface AccessTokenClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly clientId: string
  readonly scope: readonly string[]
  readonly authTime: number
  /** The family's id. */
  readonly sid: string
  readonly generation: number
}

/**
 * Makes a JWT access token (RFC 9068) signed with RS256. Equal claims make an equal token, to the letter: that is what
 * lets a repeated refresh be answered with the very same response.
 *
 * jose does everything else here with keys; the signing path goes around its handling of the key at each call, which
 * is a tenth of a signature (docs/decisions/0004-signing-path.md).
 */
export async function signAccessToken(
  keys: SigningKeys,
  sign: Sign,
  claims: AccessTokenClaims,
): Promise<string> {
  const { aud, scope } = claims
  const payload = {
    iss: claims.iss,
    sub: claims.sub,
    aud: aud.length === 1 ? aud[0] : aud,
    exp: claims.exp,
    iat: claims.iat,
    jti: '',
    client_id: claims.clientId,
    scope: scope.join(' '),
    auth_time: claims.authTime,
    sid: claims.sid,
  }
  // A digest of all that the token says, and of the generation, which no other family's token can share.
  payload.jti = hash('sha256', `${claims.generation} ${JSON.stringify(payload)}`, 'base64url').slice(0, 22)
  const input = `${headerOf(keys.active)}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`
  return `${input}.${await sign(keys.active, input)}`
}

const headers = new WeakMap<SigningKey, string>()

function headerOf(key: SigningKey): string {
  let header = headers.get(key)
  if (header === undefined) {
    header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: key.kid, typ: 'at+jwt' })).toString('base64url')
    headers.set(key, header)
  }
  return header
}
