import { OAuthError } from './errors.ts'

// RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), single spaces between them.
const SCOPE = /^[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*$/
const SCOPE_TOKEN = /^[\x21\x23-\x5B\x5D-\x7E]+$/

/** Whether the text is one scope token of RFC 6749 section 3.3. */
export function isScopeToken(text: string): boolean {
  return SCOPE_TOKEN.test(text)
}

/**
 * Reads a `scope` parameter (RFC 6749 section 3.3): its tokens, each once, in the order given.
 *
 * @throws {OAuthError} `invalid_scope` when the syntax is wrong.
 */
export function parseScope(text: string): string[] {
  if (!SCOPE.test(text)) throw new OAuthError('invalid_scope', 'The scope is not a list of scope tokens')
  return [...new Set(text.split(' '))]
}

/** What single spaces join, as they do in a `scope` that we wrote; nothing of an empty text. */
export function words(text: string): string[] {
  return text === '' ? [] : text.split(' ')
}

/** Whether every token of `asked` is one of `granted`. */
export function isWithin(asked: readonly string[], granted: readonly string[]): boolean {
  return asked.every((token) => granted.includes(token))
}
