import fc from 'fast-check'
import { test } from 'tap'
import { isScopeToken, isWithin, parseScope, words } from '../../src/oauth/scope.ts'
import { atBest } from '../support/at-best.ts'

const INVALID = {
  name: 'OAuthError',
  code: 'invalid_scope',
  message: 'The scope is not a list of scope tokens',
}

// RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
const isScopeCharacter = (code: number) => code >= 0x21 && code <= 0x7e && code !== 0x22 && code !== 0x5c

test('every octet is a scope character or not as RFC 6749 says', async (t) => {
  const codes = Array.from({ length: 0x180 }, (_, code) => code).filter((code) => code !== 0x20)
  const accepted = codes.filter((code) => {
    try {
      return parseScope(`a${String.fromCharCode(code)}b`).length === 1
    } catch {
      return false
    }
  })
  t.strictSame(accepted, codes.filter(isScopeCharacter))
  t.strictSame(
    codes.filter((code) => isScopeToken(`a${String.fromCharCode(code)}b`)),
    codes.filter(isScopeCharacter),
  )
  for (const text of ['"', '\\', 'a"b', 'a\u007fb', 'aéb']) t.throws(() => parseScope(text), INVALID, text)
})

test('single spaces, and only between tokens', async (t) => {
  t.strictSame(parseScope('read'), ['read'])
  t.strictSame(parseScope('openid read:all https://api.example/x'), [
    'openid',
    'read:all',
    'https://api.example/x',
  ])
  for (const text of [
    '',
    ' ',
    ' read',
    'read ',
    'read  write',
    'read\twrite',
    'read\n',
    'read,\u00a0write',
    'réad',
  ]) {
    t.throws(() => parseScope(text), INVALID, JSON.stringify(text))
  }
  t.notOk(isScopeToken(''))
  t.notOk(isScopeToken('read write'))
})

test('a token given twice counts once, in the order of its first coming', async (t) => {
  t.strictSame(parseScope('b a b a c'), ['b', 'a', 'c'])
  t.strictSame(parseScope('__proto__ constructor __proto__'), ['__proto__', 'constructor'])
  t.strictSame(parseScope('Read read'), ['Read', 'read'], 'tokens are case-sensitive')
})

test('a long and hostile scope is refused without backtracking', async (t) => {
  const least = await atBest(2000, async () => {
    const begin = performance.now()
    t.throws(() => parseScope(`${'a'.repeat(8000)}${' a'.repeat(4000)}"`), INVALID)
    return performance.now() - begin
  })
  t.ok(least < 2000, `${least} ms at best`)
})

test('within means: every token is among the granted', async (t) => {
  t.ok(isWithin(['read'], ['read', 'write']))
  t.ok(isWithin([], []))
  t.notOk(isWithin(['read', 'admin'], ['read', 'write']))
  t.notOk(isWithin(['rea'], ['read']), 'no prefixes')
  t.notOk(isWithin(['toString'], []))
  const tokens = fc.array(fc.constantFrom('a', 'b', 'c', 'd'))
  const property = fc.property(tokens, tokens, (asked, granted) => {
    return isWithin(asked, granted) === (new Set([...granted, ...asked]).size === new Set(granted).size)
  })
  t.doesNotThrow(() => fc.assert(property))
})

test('what we have joined falls into its words again', (t) => {
  t.strictSame(words(''), [])
  t.strictSame(words('read'), ['read'])
  t.strictSame(words('read write'), ['read', 'write'])
  t.end()
})
