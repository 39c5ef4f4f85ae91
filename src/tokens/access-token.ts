import { hash } from 'node:crypto'
import { type JWTPayload, jwtVerify } from 'jose'
import { signingInput, signJwt } from './jwt.ts'
import { isFamilyId } from './refresh-token.ts'
import { SIGNING_ALGS, type Sign, type SigningKey, type SigningKeys } from './signing-key.ts'

/** RFC 9068 section 2.1 says `at+jwt`; some verifiers take only `JWT`. */
export const ACCESS_TOKEN_TYPES = ['at+jwt', 'JWT'] as const
export type AccessTokenTyp = (typeof ACCESS_TOKEN_TYPES)[number]

/** What an access token says (RFC 9068 section 2.2). Times are seconds since 1970. */
export interface AccessTokenClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly clientId: string
  readonly scope: readonly string[]
  /** When the user signed in; for a client's own token there is no user, and no session. */
  readonly authTime: number | undefined
  /** The family's id. */
  readonly sid: string | undefined
  /** What tells this token from any other that says the same, for `jti`. */
  readonly distinction: string
  /** The operator's own claims; none has a name that is ours. */
  readonly extra: Readonly<Record<string, unknown>>
  readonly typ: AccessTokenTyp
}

/**
 * Makes a JWT access token (RFC 9068). Equal claims make an equal token, to the letter where the algorithm is
 * deterministic: that is what lets a repeated refresh be answered with the very same response. ES256 is not; its repeat
 * says the same, `jti` included, under a fresh signature.
 */
export async function signAccessToken(
  key: SigningKey,
  sign: Sign,
  claims: AccessTokenClaims,
): Promise<string> {
  const { aud } = claims
  const ours = JSON.stringify({
    iss: claims.iss,
    sub: claims.sub,
    aud: aud.length === 1 ? aud[0] : aud,
    exp: claims.exp,
    iat: claims.iat,
    client_id: claims.clientId,
    scope: claims.scope.join(' '),
    // An undefined member is none in JSON.
    auth_time: claims.authTime,
    sid: claims.sid,
  })
  // Put together as text: spread into the literal, even none would cost more than all of it does now.
  const extra = JSON.stringify(claims.extra)
  const said = extra === '{}' ? ours : `${extra.slice(0, -1)},${ours.slice(1)}`
  // A digest of all that the token says and of what else tells it apart: no random number to draw for a repeat.
  const jti = hash('sha256', `${claims.distinction} ${claims.typ} ${said}`, 'base64url').slice(0, 22)
  return signJwt(key, sign, claims.typ, `${said.slice(0, -1)},"jti":"${jti}"}`)
}

/** The claims of an access token of ours that has been verified. */
export interface VerifiedAccessToken extends JWTPayload {
  readonly iss: string
  readonly sub: string
  readonly aud: string | string[]
  readonly exp: number
  readonly iat: number
  readonly jti: string
  readonly client_id: string
  readonly scope: string
  readonly sid?: string
}

/**
 * Verifies an access token of ours (RFC 9068 section 4): the algorithm is that of the key, which is one of ours, the kind
 * is pinned, and it is spelt as we spell it. So there is no member twice (RFC 8725 section 2.7), none that we never write,
 * and a `sid` has the form of one.
 *
 * @throws {JOSEError} when it is not one, or its time is over.
 */
export async function verifyAccessToken(
  keys: Pick<SigningKeys, 'published'>,
  issuer: string,
  token: string,
): Promise<VerifiedAccessToken> {
  let key: SigningKey | undefined
  const { payload, protectedHeader } = await jwtVerify(
    token,
    ({ kid, alg }) => {
      key = keys.published.find((published) => published.kid === kid)
      if (!key) throw new TypeError('no published key has its kid')
      // RFC 8725 section 3.1: each key must be used with exactly one algorithm.
      if (key.alg !== alg) throw new TypeError('its alg is not that of its key')
      return key.publicKey
    },
    {
      algorithms: [...SIGNING_ALGS],
      issuer,
      requiredClaims: ['sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope'],
    },
  )
  const typ = ACCESS_TOKEN_TYPES.find((typ) => typ === protectedHeader.typ)
  if (!key || !typ) throw new TypeError('its typ is not that of an access token')
  const signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url').toString('base64url')
  if (token !== `${signingInput(key, typ, JSON.stringify(payload))}.${signature}`) {
    throw new TypeError('it is not spelt as this server spells its tokens')
  }
  // A key of ours may have been used elsewhere, for what has other sessions.
  const { sid } = payload
  if (sid !== undefined && !(typeof sid === 'string' && isFamilyId(sid)))
    throw new TypeError('its sid is none')
  return payload as VerifiedAccessToken
}
