import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import {
  familyIdOf,
  isFamilyId,
  locatorOf,
  MAX_GENERATION,
  mintRefreshToken,
  newHandle,
  type RefreshSecretRing,
  readRefreshToken,
  refreshMacKey,
  secretIdOf,
} from '../../src/tokens/refresh-token.ts'

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const LOCATOR = 'bG9jYXRvciEh'

const one = refreshMacKey(Buffer.alloc(32, 1))
const two = refreshMacKey(Buffer.alloc(32, 2))
const ring: RefreshSecretRing = { activeId: '00000001', macKeys: new Map([['00000001', one]]) }
const newerRing: RefreshSecretRing = {
  activeId: 'ffffffff',
  macKeys: new Map([
    ['00000001', one],
    ['ffffffff', two],
  ]),
}

function refuses(t: Test, spellings: Iterable<string>, least: number) {
  let count = 0
  const taken: string[] = []
  for (const text of spellings) {
    count += 1
    if (readRefreshToken(ring, text) !== undefined) taken.push(text)
  }
  t.strictSame(taken, [])
  t.ok(count >= least, `${count} spellings were tried`)
}

test('a token reads back as what it was made of', async (t) => {
  const handle = fc.uint8Array({ minLength: 25, maxLength: 25 }).map((bytes) => Buffer.from(bytes))
  const generation = fc.oneof(
    fc.integer({ min: 0, max: MAX_GENERATION }),
    fc.constantFrom(0, 1, MAX_GENERATION),
  )
  const secret = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((bytes) => refreshMacKey(Buffer.from(bytes)))
  const activeId = fc
    .uint8Array({ minLength: 4, maxLength: 4 })
    .map((bytes) => Buffer.from(bytes).toString('hex'))
  const property = fc.property(
    handle,
    generation,
    secret,
    activeId,
    (handle, generation, secret, activeId) => {
      const ring = { activeId, macKeys: new Map([[activeId, secret]]) }
      const text = mintRefreshToken(ring, { handle, generation })
      const read = readRefreshToken(ring, text)
      return (
        /^prt_[A-Za-z0-9_-]{88}$/.test(text) &&
        read?.generation === generation &&
        read.handle.equals(handle) &&
        mintRefreshToken(ring, read) === text
      )
    },
  )
  t.doesNotThrow(() => fc.assert(property, { numRuns: 300 }))
})

test('this very token, for as long as version 1 lives', async (t) => {
  const handle = Buffer.concat([Buffer.from(LOCATOR, 'base64url'), Buffer.alloc(16, 0xa5)])
  const text = mintRefreshToken(ring, { handle, generation: 7 })
  t.equal(text, KNOWN_TOKEN)
  t.equal(familyIdOf(handle), KNOWN_FAMILY_ID)
})
// Computed apart from the code: HKDF-SHA-256 and HMAC-SHA-256 by another program.
const KNOWN_TOKEN =
  'prt_AQAAAAFsb2NhdG9yISGlpaWlpaWlpaWlpaWlpaWlAAAAB7onyBJl5YuzyYbnGPu-N4EyoER6OEJtCOkQpAa2S8gJ'
const KNOWN_FAMILY_ID = 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mws'

test('no other spelling of a token is one', async (t) => {
  const text = mintRefreshToken(ring, { handle: newHandle(LOCATOR), generation: 300 })
  t.ok(readRefreshToken(ring, text), 'the token itself is')

  t.test('one character changed, to every other one', async (t) => {
    function* changed() {
      for (let at = 0; at < text.length; at += 1) {
        for (const character of `${BASE64URL}+/=. \n%é\0`) {
          if (character !== text[at]) yield text.slice(0, at) + character + text.slice(at + 1)
        }
      }
    }
    refuses(t, changed(), 92 * 64)
  })

  t.test('one bit of its bytes flipped', async (t) => {
    function* flipped() {
      const bytes = Buffer.from(text.slice(4), 'base64url')
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const copy = Buffer.from(bytes)
        copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
        yield `prt_${copy.toString('base64url')}`
      }
    }
    refuses(t, flipped(), 66 * 8)
  })

  t.test('truncated, at either end', async (t) => {
    function* truncated() {
      for (let length = 0; length < text.length; length += 1) {
        yield text.slice(0, length)
        yield text.slice(text.length - length)
        if (length > 4) yield `prt_${text.slice(length)}`
      }
    }
    refuses(t, truncated(), 2 * 92)
  })

  t.test('extended or cut open', async (t) => {
    function* extended() {
      for (const more of [...BASE64URL, '=', '==', '\n', '\r\n', ' ', '\0', '.', text, 'AAAA']) {
        yield text + more
        yield more + text
        for (let at = 1; at < text.length; at += 1) yield text.slice(0, at) + more + text.slice(at)
      }
    }
    refuses(t, extended(), 60 * 92)
  })

  t.test('letters in the other case', async (t) => {
    function* flipped() {
      yield text.toUpperCase()
      yield text.toLowerCase()
      for (let at = 0; at < text.length; at += 1) {
        const character = text[at] as string
        const other =
          character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase()
        if (other !== character) yield text.slice(0, at) + other + text.slice(at + 1)
      }
    }
    refuses(t, flipped(), 20)
  })

  t.test('other base64 of the same bytes', async (t) => {
    // Bytes whose base64 has both characters that the two alphabets differ in.
    const tokens = Array.from({ length: 1000 }, (_, generation) => {
      return mintRefreshToken(ring, { handle: newHandle(LOCATOR), generation })
    })
    const telling = tokens.find(
      (text) => text.slice(4).includes('-') && text.slice(4).includes('_'),
    ) as string
    const base64 = Buffer.from(telling.slice(4), 'base64url').toString('base64')
    t.notOk(/[-_]/.test(base64))
    refuses(
      t,
      [
        `prt_${base64}`,
        `prt_${telling.slice(4).replaceAll('-', '+')}`,
        `prt_${telling.slice(4).replaceAll('_', '/')}`,
        `prt_${encodeURIComponent(base64)}`,
        `prt_${telling.slice(4)}=`,
        `prt_${telling.slice(4)}==`,
        `prt_${telling.slice(4, 48)}\n${telling.slice(48)}`,
        `prt_${Buffer.from(telling.slice(4), 'base64url').toString('hex')}`,
        telling.slice(4),
        `PRT_${telling.slice(4)}`,
        `prt-${telling.slice(4)}`,
      ],
      11,
    )
  })
})

test('two texts are never read as one token', async (t) => {
  const text = mintRefreshToken(ring, { handle: newHandle(LOCATOR), generation: 1 })
  const property = fc.property(fc.string(), fc.nat({ max: 92 }), fc.nat({ max: 92 }), (more, from, to) => {
    const other = text.slice(0, from) + more + text.slice(to)
    return other === text || readRefreshToken(ring, other) === undefined
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }))
})

test('older secrets of the ring still verify, and none that is not in it', async (t) => {
  const token = { handle: newHandle(LOCATOR), generation: 3 }
  const old = mintRefreshToken(ring, token)
  const renewed = mintRefreshToken(newerRing, token)
  t.not(renewed, old, 'new tokens are made under the newer one')
  t.strictSame(readRefreshToken(newerRing, old), token)
  t.strictSame(readRefreshToken(newerRing, renewed), token)
  t.equal(readRefreshToken(ring, renewed), undefined, 'unknown to a ring without it')

  const retired = { activeId: 'ffffffff', macKeys: new Map([['ffffffff', two]]) }
  t.equal(readRefreshToken(retired, old), undefined, 'retired')
  const swapped = { activeId: '00000001', macKeys: new Map([['00000001', two]]) }
  t.equal(readRefreshToken(swapped, old), undefined, 'another secret under the same id')
  const renamed = { activeId: '00000002', macKeys: new Map([['00000002', one]]) }
  t.equal(readRefreshToken(renamed, old), undefined, 'the same secret under another id')
})

test('which secret a token says it is under can be told without any', async (t) => {
  const token = { handle: newHandle(LOCATOR), generation: 3 }
  t.equal(secretIdOf(mintRefreshToken(ring, token)), '00000001')
  t.equal(secretIdOf(mintRefreshToken(newerRing, token)), 'ffffffff')
  for (const text of ['', 'prt_', 'a.b.c', mintRefreshToken(ring, token).slice(0, -1)])
    t.equal(secretIdOf(text), undefined, text)
})

test('the MAC key is derived for this purpose alone', async (t) => {
  const secret = randomBytes(32)
  t.notOk(refreshMacKey(secret).equals(secret), 'it is not the secret')
  t.equal(refreshMacKey(secret).length, 32)
  t.ok(refreshMacKey(secret).equals(refreshMacKey(secret)))
  const undivided = { activeId: '00000001', macKeys: new Map([['00000001', secret]]) }
  const divided = { activeId: '00000001', macKeys: new Map([['00000001', refreshMacKey(secret)]]) }
  const text = mintRefreshToken(undivided, { handle: newHandle(LOCATOR), generation: 0 })
  t.equal(readRefreshToken(divided, text), undefined, 'a MAC under the bare secret is none')
})

test('generations: each has one token, up to the last', async (t) => {
  const handle = newHandle(LOCATOR)
  const of = (generation: number) => mintRefreshToken(ring, { handle, generation })
  t.equal(of(5), of(5))
  t.equal(new Set(Array.from({ length: 500 }, (_, i) => of(i))).size, 500)
  t.equal(readRefreshToken(ring, of(MAX_GENERATION))?.generation, 4_294_967_295)
  t.throws(() => of(MAX_GENERATION + 1), { name: 'RangeError' })
  t.throws(() => of(-1), { name: 'RangeError' })
})

test('a ring that lacks its active secret makes no token', async (t) => {
  const handle = newHandle(LOCATOR)
  t.throws(
    () => mintRefreshToken({ activeId: '00000002', macKeys: ring.macKeys }, { handle, generation: 0 }),
    { name: 'TypeError', message: 'The ring does not hold its active secret' },
  )
})

test('a token of another version is none, whatever its MAC', async (t) => {
  const text = mintRefreshToken(ring, { handle: newHandle(LOCATOR), generation: 1 })
  for (const version of [0, 2, 255]) {
    const bytes = Buffer.from(text.slice(4), 'base64url')
    bytes[0] = version
    createHmac('sha256', one).update(bytes.subarray(0, 34)).digest().copy(bytes, 34)
    t.equal(readRefreshToken(ring, `prt_${bytes.toString('base64url')}`), undefined, `version ${version}`)
  }
  const bytes = Buffer.from(text.slice(4), 'base64url')
  createHmac('sha256', one).update(bytes.subarray(0, 34)).digest().copy(bytes, 34)
  t.equal(`prt_${bytes.toString('base64url')}`, text, 'of version 1 that is how it is made')
})

test('a handle is the locator and 128 random bits', async (t) => {
  const handles = Array.from({ length: 1000 }, () => newHandle(LOCATOR))
  t.ok(handles.every((handle) => handle.length === 25 && handle.toString('base64url', 0, 9) === LOCATOR))
  t.equal(new Set(handles.map((handle) => handle.toString('hex', 9))).size, 1000)
  for (const wrong of ['', 'bG9jYXRv', `${LOCATOR}AAAA`, LOCATOR.slice(1)]) {
    t.throws(() => newHandle(wrong), { name: 'TypeError', message: 'A locator is 9 bytes' })
  }
})

test('a family id names the locator and hides the handle', async (t) => {
  const handle = newHandle(LOCATOR)
  const id = familyIdOf(handle)
  t.equal(id, familyIdOf(Buffer.from(handle)), 'the same for the same handle')
  t.match(id, /^[A-Za-z0-9_-]{32}$/)
  t.ok(isFamilyId(id))
  t.equal(locatorOf(id), LOCATOR)
  const secretPart = handle.subarray(9)
  const idBytes = Buffer.from(id, 'base64url')
  for (let at = 0; at + 4 <= secretPart.length; at += 1) {
    t.notOk(idBytes.includes(secretPart.subarray(at, at + 4)), 'no four bytes of the secret part are in it')
  }
  const ids = Array.from({ length: 2000 }, () => familyIdOf(newHandle(LOCATOR)))
  t.equal(new Set(ids).size, 2000)
  t.not(
    familyIdOf(Buffer.concat([Buffer.alloc(9), handle.subarray(9)])).slice(12),
    id.slice(12),
    'hashed as a whole',
  )
  for (const text of ['', id.slice(1), `${id}A`, `${id.slice(1)}=`, `${id}\n`, `${id.slice(1)}\n`]) {
    t.notOk(isFamilyId(text), JSON.stringify(text))
  }
})
