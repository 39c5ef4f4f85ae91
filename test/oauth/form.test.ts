import fc from 'fast-check'
import { test } from 'tap'
import { OAuthError } from '../../src/oauth/errors.ts'
import { decodeFormValue, EMPTY_FORM, parseForm, requireSingle } from '../../src/oauth/form.ts'

const MALFORMED = {
  name: 'OAuthError',
  code: 'invalid_request',
  message: 'The body is not well-formed form data',
}
const TOO_MANY = {
  name: 'OAuthError',
  code: 'invalid_request',
  message: 'The request has too many parameters',
}

const valuesOf = (body: string) => [...parseForm(body).values]
const repeatedIn = (body: string) => [...parseForm(body).repeated]

// RFC 6749 appendix B has this very value.
test('names and values are form-decoded as UTF-8', async (t) => {
  t.strictSame(valuesOf('+%25%26%2B%C2%A3%E2%82%AC=x'), [[' %&+£€', 'x']])
  t.strictSame(valuesOf('password=%E2%82%AC+x&scope=a+b%2Bc'), [
    ['password', '€ x'],
    ['scope', 'a b+c'],
  ])
  t.strictSame(valuesOf('password=correct+horse'), [['password', 'correct horse']], 'a plus alone')
  t.equal(decodeFormValue('+'), ' ')
  t.strictSame(valuesOf('a=b=c&d=%3D%26'), [
    ['a', 'b=c'],
    ['d', '=&'],
  ])
  t.strictSame(valuesOf('password=%F0%9F%90%B4%00'), [['password', '🐴\0']], 'beyond the BMP, and NUL')
  t.strictSame(valuesOf('password=Zoë'), [['password', 'Zoë']], 'characters that were not escaped')
  t.strictSame(valuesOf('p=%EF%BF%BD'), [['p', '\uFFFD']], 'an escaped U+FFFD is a character like others')
})

test('whatever is encoded is decoded to the same', async (t) => {
  const text = fc.string({ unit: 'binary' })
  const property = fc.property(text, text, (name, value) => {
    const { values, repeated } = parseForm(new URLSearchParams([[name, value]]).toString())
    return values.size === (value === '' ? 0 : 1) && (values.get(name) ?? '') === value && repeated.size === 0
  })
  t.doesNotThrow(() => fc.assert(property))
})

test('broken encoding is refused, in a name as in a value', async (t) => {
  const broken = {
    'no hexadecimal digits': '%zz',
    'one digit': 'a%2',
    'a lone percent': '100%',
    'a percent before a plus': '%+2',
    'a lone continuation octet': '%80',
    'a truncated character': '%E2%82',
    'a Latin-1 octet': 'Zo%EB',
    'an overlong slash': '%C0%AF',
    'an overlong NUL': '%C0%80',
    'a surrogate': '%ED%A0%80',
    'beyond U+10FFFF': '%F4%90%80%80',
    'an octet that UTF-8 never has': '%FF',
    'broken UTF-8 that was already read as text': 'a\uFFFDb',
  }
  for (const [what, text] of Object.entries(broken)) {
    t.throws(() => parseForm(`password=${text}`), MALFORMED, `${what}, in a value`)
    t.throws(() => parseForm(`grant_type=password&${text}=x`), MALFORMED, `${what}, in a name`)
    if (!text.includes('\uFFFD')) t.throws(() => decodeFormValue(text), MALFORMED, `${what}, alone`)
  }
})

test('nothing of a broken body is repeated in the error', async (t) => {
  const error = t.throws(() => parseForm('password=hunter2%zz')) as unknown as OAuthError
  t.ok(error instanceof OAuthError)
  t.notMatch(`${error.message} ${error.detail}`, 'hunter2')
})

test('a parameter without a value counts as omitted', async (t) => {
  t.strictSame(valuesOf('scope=&state&client_id=web'), [['client_id', 'web']])
  t.strictSame(valuesOf(''), [])
  t.strictSame(valuesOf('&&a=1&&'), [['a', '1']], 'so do ampersands with nothing between them')
  t.strictSame(valuesOf('=x'), [['', 'x']], 'a value without a name harms nobody')
})

test('a name that comes twice is told of', async (t) => {
  t.strictSame(repeatedIn('a=1&b=2'), [])
  t.strictSame(repeatedIn('&&a=1&&'), [], 'where nothing is there is no name')
  t.strictSame(repeatedIn('a=1&b=2&a=3'), ['a'], 'with another value')
  t.strictSame(repeatedIn('a=1&a=1'), ['a'], 'with an equal value')
  t.strictSame(repeatedIn('a=1&a='), ['a'], 'without a value the second time')
  t.strictSame(repeatedIn('a&a'), ['a'], 'never with a value')
  t.strictSame(repeatedIn('client_id=1&client%5Fid=2'), ['client_id'], 'in another spelling')
  t.strictSame(repeatedIn('a=1&A=1'), [], 'names are case-sensitive')
})

test('a name that means something must not come twice; others may', async (t) => {
  const form = parseForm('scope=a&scope=a&foo=1&foo=2&client_id=web')
  t.throws(() => requireSingle(form, ['client_id', 'scope']), {
    name: 'OAuthError',
    code: 'invalid_request',
    message: 'A parameter is repeated',
  })
  t.doesNotThrow(() => requireSingle(form, ['client_id', 'grant_type']))
  t.doesNotThrow(() => requireSingle(form, []))
  t.doesNotThrow(() => requireSingle(parseForm('a=1&b=2'), ['a', 'b']))
  t.doesNotThrow(() => requireSingle(EMPTY_FORM, ['scope']))
  t.strictSame([EMPTY_FORM.values.size, EMPTY_FORM.repeated.size], [0, 0])
  t.strictSame(EMPTY_FORM, parseForm(''), 'no body is an empty one')
})

test('names that mean something to JavaScript are ordinary strings', async (t) => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'prototype']
  const { values, repeated } = parseForm(names.map((name) => `${name}=${name}`).join('&'))
  t.strictSame(
    [...values],
    names.map((name) => [name, name]),
  )
  t.equal(repeated.size, 0)
  t.strictSame(repeatedIn('__proto__=1&__proto__=2'), ['__proto__'])
  t.equal(parseForm('__proto__=1').values.get('toString'), undefined)
  t.equal(({} as Record<string, unknown>)['1'], undefined)
})

test('a hundred parameters are read, one more is not', async (t) => {
  const body = (count: number) => Array.from({ length: count }, (_, i) => `p${i}=${i}`).join('&')
  t.equal(parseForm(body(100)).values.size, 100)
  t.throws(() => parseForm(body(101)), TOO_MANY)
  t.throws(() => parseForm('a=1&'.repeat(5000)), TOO_MANY)
  t.throws(() => parseForm(`${body(100)}&%zz`), TOO_MANY, 'not even looked at')
})
