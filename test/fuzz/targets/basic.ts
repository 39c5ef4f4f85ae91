import fc from 'fast-check'
import { type Credentials, readCredentials } from '../../../src/grants/authenticate-client.ts'
import { OAuthError } from '../../../src/oauth/errors.ts'
import { EMPTY_FORM } from '../../../src/oauth/form.ts'
import { mustNotEcho } from '../echo.ts'
import { mustBe, outcomeOf, type Target } from '../target.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** RFC 4648 section 4 with the padding left to the sender, six bits at a time. */
function octetsIn(base64: string): Buffer | undefined {
  const text = base64.replace(/={1,2}$/, '')
  const octets: number[] = []
  let [bits, held] = [0, 0]
  for (const character of text) {
    bits = ((bits << 6) | CHARACTERS.indexOf(character)) & 0xffff
    held += 6
    if (held < 8) continue
    held -= 8
    octets.push((bits >> held) & 0xff)
  }
  // A single character over holds no octet, so it would be a second spelling of what is before it.
  return text.length % 4 === 1 ? undefined : Buffer.from(octets)
}

/** RFC 7617 section 2, and RFC 6749 section 2.3.1: the readings, or `undefined` where there is none. */
function readings(header: string): Credentials[] | undefined {
  const space = header.indexOf(' ')
  if (header.slice(0, space).toLowerCase() !== 'basic') return undefined
  const token = header.slice(space).replace(/^ +/, '')
  if (space < 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(token)) return undefined
  let text: string
  try {
    text = utf8.decode(octetsIn(token))
  } catch {
    return undefined
  }
  const [clientId = '', ...rest] = text.split(':')
  if (octetsIn(token) === undefined || rest.length === 0) return undefined
  const raw = { clientId, secret: rest.join(':') }
  try {
    const decode = (part: string) => decodeURIComponent(part.replaceAll('+', '%20'))
    const decoded = { clientId: decode(raw.clientId), secret: decode(raw.secret) }
    return JSON.stringify(decoded) === JSON.stringify(raw) ? [raw] : [decoded, raw]
  } catch {
    return [raw]
  }
}

const part = fc.oneof(
  fc.constantFrom('web', 'app', '', 'a:b', 'odd%20one', 'a+b', '%', '%zz', 'zoë', '\0', '__proto__'),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
)
const octets = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(part, part).map((parts) => Buffer.from(parts.join(':'))) },
  part.map((text) => Buffer.from(text)),
  fc.tuple(part, part).map((parts) => Buffer.from(parts.join(':'), 'latin1')),
)
const scheme = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('Basic ', 'basic ', 'BASIC  ') },
  fc.constantFrom('Basic', 'Bearer ', 'Basic\t', ' Basic ', ''),
)
const spelling = fc.constantFrom<(octets: Buffer) => string>(
  (octets) => octets.toString('base64'),
  (octets) => octets.toString('base64').replaceAll('=', ''),
  (octets) => octets.toString('base64url'),
  (octets) => `${octets.toString('base64')}=`,
)

export const BASIC: Target = {
  name: 'basic',
  share: 150,
  grammar: fc.tuple(scheme, octets, spelling).map(([scheme, octets, spell]) => scheme + spell(octets)),
  hold(input) {
    // Node reads headers as Latin-1.
    const header = input.toString('latin1')
    const expected = readings(header)
    const outcome = outcomeOf(() => readCredentials(header, EMPTY_FORM), OAuthError)
    mustBe('error' in outcome === (expected === undefined), 'taken by one reader alone')
    if ('error' in outcome) {
      const { code, message, detail } = outcome.error as OAuthError
      mustBe(code === 'invalid_client', 'another code')
      return mustNotEcho(message + detail, header)
    }
    mustBe(JSON.stringify(outcome.value) === JSON.stringify(expected), 'other credentials')
    for (const { clientId, secret } of outcome.value) {
      const form = (name: string, value: string) => ({ ...EMPTY_FORM, values: new Map([[name, value]]) })
      const beside = (name: string, value: string) =>
        'error' in outcomeOf(() => readCredentials(header, form(name, value)), OAuthError)
      mustBe(!beside('client_id', clientId), 'its own client_id beside it is refused')
      mustBe(beside('client_id', `${clientId}x!`), 'another client_id beside it is taken')
      mustBe(beside('client_secret', secret), 'a second method is taken')
    }
  },
}
