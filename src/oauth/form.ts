import { OAuthError } from './errors.ts'

/** More parameters than any request of ours can mean anything by. */
const MAX_PARAMETERS = 100

/** A parsed `application/x-www-form-urlencoded` body. */
export interface Form {
  readonly values: ReadonlyMap<string, string>
  /** Names that came more than once, with equal values or not. */
  readonly repeated: ReadonlySet<string>
}

const malformed = () => new OAuthError('invalid_request', 'The body is not well-formed form data')

/** A body without a parameter. */
export const EMPTY_FORM: Form = { values: new Map(), repeated: new Set() }

/**
 * Decodes one form-encoded name or value (RFC 6749 appendix B).
 *
 * @throws {OAuthError} `invalid_request` on a bad percent escape or on octets that are not UTF-8.
 */
export function decodeFormValue(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw malformed()
  }
}

/**
 * Reads a form body strictly (RFC 6749 appendix B). A parameter without a value counts as omitted (section 3.2).
 *
 * The usual parsers pass `%zz` through and turn broken UTF-8 into U+FFFD: two spellings of one password, or a
 * password that nobody typed. Here both are refused.
 *
 * @throws {OAuthError} `invalid_request` when the encoding is broken or there are more than 100 parameters.
 */
export function parseForm(body: string): Form {
  // A raw U+FFFD is what broken UTF-8 became when the body was read as text.
  if (body.includes('\uFFFD')) throw malformed()
  const values = new Map<string, string>()
  const repeated = new Set<string>()
  const pairs = body.split('&', MAX_PARAMETERS + 1)
  if (pairs.length > MAX_PARAMETERS) {
    throw new OAuthError('invalid_request', 'The request has too many parameters')
  }
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeFormValue(equals < 0 ? pair : pair.slice(0, equals))
    const value = equals < 0 ? '' : decodeFormValue(pair.slice(equals + 1))
    if (values.has(name)) repeated.add(name)
    values.set(name, value)
  }
  for (const [name, value] of values) if (value === '') values.delete(name)
  return { values, repeated }
}

/**
 * RFC 6749 section 3.2: parameters MUST NOT be included more than once. Unknown ones are ignored, however often.
 *
 * @param names those that mean something to the endpoint.
 * @throws {OAuthError} `invalid_request`.
 */
export function requireSingle({ repeated }: Form, names: readonly string[]): void {
  if (repeated.size > 0 && names.some((name) => repeated.has(name))) {
    throw new OAuthError('invalid_request', 'A parameter is repeated')
  }
}
