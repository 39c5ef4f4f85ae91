/** Claims beyond those that every access token has: names and JSON values of the operator's choosing. */
export type ExtraClaims = Readonly<Record<string, unknown>>

/** Claims that mean something to verifiers, and so are ours to say (RFC 7519, 8693, 8705, 9068, OpenID Connect). */
const RESERVED = new Set([
  ...['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'client_id', 'scope', 'scp', 'auth_time', 'sid'],
  ...['acr', 'amr', 'azp', 'nonce', 'at_hash', 'c_hash', 's_hash', 'typ', 'cnf', 'act', 'may_act', 'events'],
  ...['token_introspection', 'active', 'token_type', 'username'],
])

/** Every access token of the account carries them, so they are small. */
const MAX_JSON_CHARACTERS = 2048

/**
 * Reads extra claims from JSON.
 *
 * @throws {TypeError} with a message that continues "the claims …".
 */
export function parseExtraClaims(json: string): ExtraClaims {
  let claims: unknown
  try {
    claims = JSON.parse(json)
  } catch {
    throw new TypeError('are not JSON')
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new TypeError('are not a JSON object')
  }
  if (json.length > MAX_JSON_CHARACTERS)
    throw new TypeError(`are longer than ${MAX_JSON_CHARACTERS} characters`)
  for (const name of Object.keys(claims)) {
    if (RESERVED.has(name) || name === '__proto__') throw new TypeError(`have the reserved name ${name}`)
  }
  return claims as ExtraClaims
}
