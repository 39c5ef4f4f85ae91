import { createHmac, hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/*
 * prt_ base64url( version 1 ‖ key id 4 ‖ handle 25 ‖ generation 4 ‖ MAC 32 )
 *
 * 66 bytes are 88 characters without padding or spare bits, so every spelling but one is refused by its length or by
 * its MAC. The handle is the user's locator (9 bytes, no secret: where the store keeps that user's sessions) and 128
 * random bits that are stored nowhere.
 */
const PREFIX = 'prt_'
const VERSION = 1
const KEY_ID_AT = 1
const HANDLE_AT = 5
const LOCATOR_BYTES = 9
const HANDLE_BYTES = LOCATOR_BYTES + 16
const GENERATION_AT = HANDLE_AT + HANDLE_BYTES
const MAC_AT = GENERATION_AT + 4
const MAC_BYTES = 32
const TOKEN_BYTES = MAC_AT + MAC_BYTES
const TOKEN = new RegExp(`^${PREFIX}[A-Za-z0-9_-]{${(TOKEN_BYTES / 3) * 4}}$`)

/** Enough of the hash that two handles of one user never meet; with the locator 24 bytes, again without spare bits. */
const ID_HASH_BYTES = 15

/**
 * The last generation that the token's four bytes can carry; a session would need 13 rotations a second for all of the ten
 * years that it may live to see it.
 */
export const MAX_GENERATION = 0xffff_ffff

/** What an authentic refresh token says. */
export interface RefreshToken {
  readonly handle: Buffer
  readonly generation: number
}

/** The secrets behind refresh tokens: new tokens under the active one, tokens under any of them verify. */
export interface RefreshSecretRing {
  /** Eight hexadecimal digits. */
  readonly activeId: string
  /** MAC keys by secret id; see {@link refreshMacKey}. */
  readonly macKeys: ReadonlyMap<string, Buffer>
}

/** Derives the key of the refresh-token MAC, and of nothing else, from a secret of 32 bytes (RFC 5869). */
export function refreshMacKey(secret: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'pawl refresh-token mac v1', 32))
}

/** Draws the handle of a new family of the user at this locator (see `userLocator`). Once per sign-in. */
export function newHandle(locator: string): Buffer {
  const at = Buffer.from(locator, 'base64url')
  if (at.length !== LOCATOR_BYTES) throw new TypeError('A locator is 9 bytes')
  return Buffer.concat([at, randomBytes(HANDLE_BYTES - LOCATOR_BYTES)])
}

/**
 * The name under which the store knows the family of this handle: 32 base64url characters, the locator's 12 first.
 * One-way in the random part, so that the store's content gives no handle, hence no token.
 */
export function familyIdOf(handle: Buffer): string {
  const id = Buffer.allocUnsafe(LOCATOR_BYTES + ID_HASH_BYTES)
  handle.copy(id, 0, 0, LOCATOR_BYTES)
  const digest = hash('sha256', Buffer.concat([ID_PURPOSE, handle]), 'buffer')
  digest.copy(id, LOCATOR_BYTES, 0, ID_HASH_BYTES)
  return id.toString('base64url')
}

const ID_PURPOSE = Buffer.from('pawl family id v1\0')
const FAMILY_ID = /^[A-Za-z0-9_-]{32}$/

/** Whether the text has the form of a family id. */
export function isFamilyId(text: string): boolean {
  return FAMILY_ID.test(text)
}

/** The locator of the user whose family this is. */
export function locatorOf(familyId: string): string {
  return familyId.slice(0, (LOCATOR_BYTES / 3) * 4)
}

/**
 * The refresh token of one generation. A computed value, not a drawn one: whoever asks twice gets the same.
 *
 * @throws {RangeError} beyond {@link MAX_GENERATION}.
 */
export function mintRefreshToken(ring: RefreshSecretRing, token: RefreshToken): string {
  const macKey = ring.macKeys.get(ring.activeId)
  if (!macKey) throw new TypeError('The ring does not hold its active secret')
  const bytes = Buffer.allocUnsafe(TOKEN_BYTES)
  bytes[0] = VERSION
  bytes.write(ring.activeId, KEY_ID_AT, 'hex')
  token.handle.copy(bytes, HANDLE_AT)
  bytes.writeUInt32BE(token.generation, GENERATION_AT)
  macOf(macKey, bytes).copy(bytes, MAC_AT)
  return PREFIX + bytes.toString('base64url')
}

/** The id of the secret that a text in the form of a refresh token names; nothing of it is verified. */
export function secretIdOf(text: string): string | undefined {
  if (!TOKEN.test(text)) return undefined
  return Buffer.from(text.slice(PREFIX.length), 'base64url').toString('hex', KEY_ID_AT, HANDLE_AT)
}

/** Reads a refresh token; `undefined` when it is not one that this ring made, to the letter. Does no I/O. */
export function readRefreshToken(ring: RefreshSecretRing, text: string): RefreshToken | undefined {
  if (!TOKEN.test(text)) return undefined
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url')
  if (bytes[0] !== VERSION) return undefined
  const macKey = ring.macKeys.get(bytes.toString('hex', KEY_ID_AT, HANDLE_AT))
  if (!macKey) return undefined
  if (!timingSafeEqual(macOf(macKey, bytes), bytes.subarray(MAC_AT))) return undefined
  return {
    handle: bytes.subarray(HANDLE_AT, GENERATION_AT),
    generation: bytes.readUInt32BE(GENERATION_AT),
  }
}

function macOf(macKey: Buffer, token: Buffer): Buffer {
  return createHmac('sha256', macKey).update(token.subarray(0, MAC_AT)).digest()
}
