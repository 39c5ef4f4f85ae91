import fc from 'fast-check'
import { OAuthError } from '../../../src/oauth/errors.ts'
import { decodeFormValue, type Form, parseForm, requireSingle } from '../../../src/oauth/form.ts'
import { mustNotEcho } from '../echo.ts'
import { mustBe, outcomeOf, type Target } from '../target.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** RFC 6749 appendix B, octet by octet; `undefined` where it is broken. */
function decoded(text: string): string | undefined {
  const octets: number[] = []
  const source = Buffer.from(text)
  for (let at = 0; at < source.length; at += 1) {
    const octet = source[at]!
    if (octet === 0x25) {
      const digits = source.toString('latin1', at + 1, at + 3)
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return undefined
      octets.push(Number.parseInt(digits, 16))
      at += 2
    } else octets.push(octet === 0x2b ? 0x20 : octet)
  }
  try {
    return utf8.decode(Uint8Array.from(octets))
  } catch {
    return undefined
  }
}

/** The pairs of a body, read strictly; `undefined` where it is to be refused. */
function pairsIn(body: string): [name: string, value: string][] | undefined {
  const parts = body.split('&')
  if (body.includes('\ufffd') || parts.length > 100) return undefined
  const pairs: [string, string][] = []
  for (const part of parts.filter((part) => part !== '')) {
    const [name = '', ...rest] = part.split('=')
    const pair = [decoded(name), decoded(rest.join('='))] as const
    if (pair[0] === undefined || pair[1] === undefined) return undefined
    pairs.push([pair[0], pair[1]])
  }
  return pairs
}

const word = fc.oneof(
  fc.constantFrom('grant_type', 'username', 'password', 'scope', 'client_id', '__proto__', 'toString', ''),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const spelling = fc.constantFrom<(text: string) => string>(
  (text) => new URLSearchParams([['', text]]).toString().slice(1),
  (text) => Array.from(Buffer.from(text), (octet) => `%${octet.toString(16).padStart(2, '0')}`).join(''),
  (text) => text,
)
const part = fc.tuple(word, spelling).map(([text, spell]) => spell(text))
const pair = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(part, part).map(([name, value]) => `${name}=${value}`) },
  part,
  fc.constantFrom('', '=', '%', '%ff', '%c0%80', '+=+'),
)
const body = fc.oneof(
  { weight: 30, arbitrary: fc.array(pair, { maxLength: 12 }) },
  fc.array(pair, { minLength: 95, maxLength: 105 }),
)

export const FORM: Target = {
  name: 'form',
  share: 200,
  grammar: body.map((pairs) => pairs.join('&')),
  hold(input) {
    const body = input.toString()
    const pairs = pairsIn(body)
    const outcome = outcomeOf(() => parseForm(body), OAuthError)
    const single = outcomeOf(() => decodeFormValue(body), OAuthError)
    mustBe('error' in single || single.value === decoded(body), 'a value is decoded to another one')
    mustBe('error' in single === (decoded(body) === undefined), 'a value is taken by one reader alone')
    for (const each of [outcome, single]) {
      if (!('error' in each)) continue
      mustBe((each.error as OAuthError).code === 'invalid_request', 'another code')
      mustNotEcho(each.error.message + (each.error as OAuthError).detail, body)
    }
    mustBe('error' in outcome === (pairs === undefined), 'taken by one reader alone')
    if (!('error' in outcome)) holdForm(outcome.value, pairs!, body)
  },
}

function holdForm(form: Form, pairs: readonly [string, string][], body: string): void {
  const names = pairs.map(([name]) => name)
  const finals = new Map(pairs)
  for (const [name, value] of finals) if (value === '') finals.delete(name)
  mustBe(JSON.stringify([...form.values]) === JSON.stringify([...finals]), 'another reading of the pairs')
  const repeated = names.filter((name, i) => names.indexOf(name) !== i)
  mustBe(
    JSON.stringify([...form.repeated]) === JSON.stringify([...new Set(repeated)]),
    'other repeated names',
  )
  const refusal = outcomeOf(() => requireSingle(form, names), OAuthError)
  mustBe('error' in refusal === repeated.length > 0, 'a repeated name is let through, or a single one is not')
  // Browsers and Node read the same of what is well formed. A BOM and a question mark in front mean something to them.
  const usual = [...new URLSearchParams(`&${body}`)].filter(([name, value]) => name !== '' || value !== '')
  const told = pairs.filter(([name, value]) => name !== '' || value !== '')
  mustBe(JSON.stringify(usual) === JSON.stringify(told), 'the platform reads it otherwise')
}
