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
const MAX_DEPTH = 16

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
  const fault = claimsFault(claims, json)
  if (fault) throw new TypeError(fault)
  return claims as ExtraClaims
}

/**
 * Why a value is refused as extra claims, or `undefined` when it is fine; continues "the claims …".
 *
 * @param json the value as it was written, where that is known.
 */
export function claimsFault(claims: unknown, json?: string): string | undefined {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return 'are not a JSON object'
  if (isDeeper(claims, MAX_DEPTH)) return `are nested more than ${MAX_DEPTH} deep`
  if ((json ?? JSON.stringify(claims)).length > MAX_JSON_CHARACTERS)
    return `are longer than ${MAX_JSON_CHARACTERS} characters`
  const reserved = Object.keys(claims).find((name) => RESERVED.has(name) || name === '__proto__')
  return reserved === undefined ? undefined : `have the reserved name ${reserved}`
}

/** Whether there are more than so many objects and arrays in each other. Looks no deeper than that itself. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1))
}
