import fc from 'fast-check'
import { test } from 'tap'
import {
  foldUsername,
  newEpoch,
  newSub,
  subFault,
  type User,
  userLocator,
  usernameFault,
  usernameKey,
  withoutAccess,
  withoutSessions,
  withPassword,
} from '../../src/accounts/user.ts'

const user: User = {
  sub: 'usr_1',
  username: 'ada',
  passwordHash: '$argon2id$',
  disabled: false,
  claims: {},
  epoch: 5,
  createdAt: 0,
}

test('spellings of one name', async (t) => {
  const names = [
    ['ada', 'Ada', 'ADA'],
    ['Zoë', 'ZOË', 'Zoe\u0308', 'zoE\u0308'],
    ['straße', 'STRASSE', 'Strasse', 'STRAẞE', 'straẞe'],
    ['Σίσυφος', 'ΣΊΣΥΦΟΣ', 'σίσυφοσ', 'ΣΙ\u0301ΣΥΦΟΣ'],
    ['Дмитрий', 'ДМИТРИЙ', 'дмитрии\u0306'],
    ['\u212bngström', 'Ångström', 'A\u030angström', 'ÅNGSTRÖM'],
    ['ﬁona', 'FIONA', 'fiona'],
    ['한글', '\u1112\u1161\u11ab\u1100\u1173\u11af'],
    ['ǆ', 'ǅ', 'Ǆ'],
    ['__proto__', '__PROTO__'],
  ]
  for (const spellings of names) {
    t.strictSame(new Set(spellings.map(usernameKey)).size, 1, spellings.join(' = '))
  }
  const distinct = names.map(([name]) => name as string)
  t.equal(new Set([...distinct, 'zoe', 'ada ', 'constructor'].map(usernameKey)).size, names.length + 3)
})

test('no character has two folded forms', async (t) => {
  const split: string[] = []
  for (let code = 0; code <= 0x10ffff; code += 1) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const character = String.fromCodePoint(code)
    const folded = foldUsername(character)
    const spellings = [folded, character.toLowerCase(), character.toUpperCase(), character.normalize('NFD')]
    if (spellings.some((spelling) => foldUsername(spelling) !== folded)) split.push(`U+${code.toString(16)}`)
  }
  t.strictSame(split, [])
})

test('folding twice is folding once, whatever the name', async (t) => {
  const letters = fc.constantFrom(...'aAsSßẞſiIİıσςΣéÉ\u0301\u0308\u0345ﬁﬀǅĸŉᾳᾼώΐ')
  const name = fc.string({ unit: letters, maxLength: 12 })
  const property = fc.property(name, (name) => {
    const folded = foldUsername(name)
    return foldUsername(folded) === folded && foldUsername(name.normalize('NFD')) === folded
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 5000 }))
})

test('a name is looked up by a digest of constant length', async (t) => {
  t.match(usernameKey('ada'), /^[A-Za-z0-9_-]{43}$/)
  t.equal(usernameKey('x'.repeat(16_000)).length, 43)
  t.equal(usernameKey('').length, 43)
})

test('names that are refused', async (t) => {
  const refused: [string, RegExp][] = [
    ['', /empty/],
    ['   ', /empty/],
    [' ada', /space/],
    ['ada\u00a0', /space/],
    ['a\0da', /control/],
    ['a\nda', /control/],
    ['a\u007fda', /control/],
    ['a\u0085da', /control/],
    ['a\uFFFDda', /control/],
    ['a\ud800da', /control/],
    ['x'.repeat(257), /longer than 256/],
    ['🐴'.repeat(257), /longer than 256/],
    // Two characters each in NFC, which is what is stored.
    ['\u0958'.repeat(129), /longer than 256/],
  ]
  for (const [name, fault] of refused) t.match(usernameFault(name), fault, JSON.stringify(name.slice(0, 20)))
  for (const name of [
    'a',
    'ada@example.com',
    'Ada Lovelace',
    'Zoë',
    '🐴',
    '__proto__',
    '🐴'.repeat(256),
    'a:b%+"\\',
  ]) {
    t.equal(usernameFault(name), undefined, name.slice(0, 20))
  }
})

test('sub: drawn, and in form', async (t) => {
  const subs = Array.from({ length: 1000 }, newSub)
  t.ok(subs.every((sub) => /^usr_[A-Za-z0-9_-]{22}$/.test(sub)))
  t.equal(new Set(subs).size, 1000)
})

test('a locator is 12 characters computed from sub', async (t) => {
  t.equal(userLocator('usr_1'), KNOWN_LOCATOR)
  const locators = Array.from({ length: 2000 }, () => userLocator(newSub()))
  t.ok(locators.every((locator) => /^[A-Za-z0-9_-]{12}$/.test(locator)))
  t.equal(new Set(locators).size, 2000)
  t.ok(locators.every((locator) => Buffer.from(locator, 'base64url').length === 9))
})
// Computed apart from the code: it must never change, since keys of stores are made of it.
const KNOWN_LOCATOR = '8EtM9VfO1ykt'

test('an epoch is drawn anew and never the one before', async (t) => {
  const epochs = Array.from({ length: 1000 }, () => newEpoch())
  t.ok(epochs.every((epoch) => Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 31))
  t.ok(new Set(epochs).size > 990)
  t.ok(epochs.every((epoch) => newEpoch(epoch) !== epoch))
})

test('what ends sessions draws a new epoch, and nothing else changes', async (t) => {
  t.match(withPassword(user, 'new'), { passwordHash: 'new', epoch: Number })
  t.match(withoutAccess(user), { disabled: true, epoch: Number })
  t.strictSame(Object.keys(withPassword(user, 'new')).sort(), ['epoch', 'passwordHash'])
  t.strictSame(Object.keys(withoutAccess(user)).sort(), ['disabled', 'epoch'])
  t.strictSame(Object.keys(withoutSessions(user)), ['epoch'])
  for (const change of [withPassword(user, 'new'), withoutAccess(user), withoutSessions(user)])
    t.not(change.epoch, 5)
})

test('a sub that comes from elsewhere', async (t) => {
  for (const sub of ['1', '4711', 'auth0|5f7c', 'ada@example.com', 'urn:x:Y/z~_-', 'x'.repeat(255)]) {
    t.equal(subFault(sub), undefined, sub)
  }
  for (const sub of ['', ' ', 'a b', 'a\n', 'é', '"', '\\', '\0', '\u007f', 'x'.repeat(256)]) {
    t.match(subFault(sub), /^is not 1 to 255 printable/, JSON.stringify(sub))
  }
})
