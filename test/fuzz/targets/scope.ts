import fc from 'fast-check'
import { OAuthError } from '../../../src/oauth/errors.ts'
import { isScopeToken, isWithin, parseScope } from '../../../src/oauth/scope.ts'
import { mustNotEcho } from '../echo.ts'
import { mustBe, outcomeOf, type Target } from '../target.ts'

/** RFC 6749 section 3.3, character by character. */
function isToken(text: string): boolean {
  const codes = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
  return (
    codes.length > 0 &&
    codes.every((code) => code === 0x21 || (code >= 0x23 && code <= 0x5b) || (code >= 0x5d && code <= 0x7e))
  )
}

const token = fc.oneof(
  fc.constantFrom('read', 'write', 'openid', 'https://api.example/all', 'a:b', '__proto__', '!', '~'),
  fc.string({ maxLength: 6 }),
)
const gap = fc.oneof({ weight: 20, arbitrary: fc.constant(' ') }, fc.constantFrom('  ', '\t', '\u00a0', ','))

export const SCOPE: Target = {
  name: 'scope',
  share: 150,
  grammar: fc.array(fc.tuple(token, gap), { maxLength: 12 }).map((parts) =>
    parts
      .map((pair) => pair.join(''))
      .join('')
      .replace(/ $/, ''),
  ),
  hold(input) {
    const text = input.toString()
    const tokens = text.split(' ')
    const outcome = outcomeOf(() => parseScope(text), OAuthError)
    mustBe('error' in outcome === !tokens.every(isToken), 'taken by one reader alone')
    mustBe(isScopeToken(text) === isToken(text), 'one token, to one reader alone')
    if ('error' in outcome) {
      mustBe((outcome.error as OAuthError).code === 'invalid_scope', 'another code')
      return mustNotEcho(outcome.error.message, text)
    }
    const { value } = outcome
    mustBe(new Set(value).size === value.length, 'a token twice')
    mustBe(value.join(' ') === parseScope(value.join(' ')).join(' '), 'what is told is not read as it was')
    mustBe(isWithin(tokens, value) && isWithin(value, tokens), 'a token lost, or won')
    mustBe(!isWithin([...value, 'beyond the grant'], value), 'more than was granted')
  },
}
