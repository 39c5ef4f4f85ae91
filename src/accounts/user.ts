import { hash, randomBytes, randomInt } from 'node:crypto'
import type { ExtraClaims } from './extra-claims.ts'

/** A user: of the built-in directory, or one whom the verify webhook vouched for. */
export interface User {
  /** The opaque, stable `sub` of this user's tokens. */
  readonly sub: string
  /** As it was written at creation, or at the last sign-in that the webhook vouched for; in NFC. */
  readonly username: string
  /** In one of the texts of stored-hash.ts; our own are argon2id. Who has none is verified by the verify webhook. */
  readonly passwordHash?: string
  readonly disabled: boolean
  /** Claims that the user's access tokens carry besides. */
  readonly claims: ExtraClaims
  /** Every family repeats the epoch it was made in; moving the user's epoch on ends them all in one write. */
  readonly epoch: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

const MAX_USERNAME_CODE_POINTS = 256
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const NOT_IN_USERNAME = /[\u0000-\u001f\u007f-\u009f\ufffd]|\p{Surrogate}|(?![\u200c\u200d])\p{Cf}/u

/**
 * The form in which user names are compared: NFC and case folded, so that `Zoë`, `ZOË` and a decomposed `Zoë` are one.
 * Through upper case, because that folds ß with ss and ς with σ, which lower case alone does not; and to lower case
 * first, because ẞ has no other upper case than itself.
 */
export function foldUsername(username: string): string {
  return username.normalize('NFC').toLowerCase().toUpperCase().toLowerCase().normalize('NFC')
}

/** What the stores find a name by: a digest of its folded form, of constant length whatever a request sends. */
export function usernameKey(username: string): string {
  return hash('sha256', foldUsername(username), 'base64url')
}

/** Why a text is refused as a new user name, or `undefined` when it is fine. */
export function usernameFault(username: string): string | undefined {
  if (username.trim() === '') return 'is empty'
  if (username !== username.trim()) return 'begins or ends with a space'
  // In NFC, as it is stored: some characters are several there.
  if ([...username.normalize('NFC')].length > MAX_USERNAME_CODE_POINTS)
    return `is longer than ${MAX_USERNAME_CODE_POINTS} characters`
  if (NOT_IN_USERNAME.test(username)) return 'has a control character, or one that does not show'
  return undefined
}

/** RFC 7519 section 4.1.2 leaves it open; these need no escape wherever a `sub` is written down. */
const SUB = /^[\x21\x23-\x5b\x5d-\x7e]{1,255}$/

/**
 * Why a text that comes from elsewhere is refused as a `sub`, or `undefined` when it is fine. Besides, it must not be
 * the identifier of a client, which is the `sub` of that client's own tokens (RFC 9068 section 5): the store knows.
 */
export function subFault(sub: string): string | undefined {
  return SUB.test(sub)
    ? undefined
    : 'is not 1 to 255 printable characters without spaces, quotes, backslashes'
}

/** Draws a new `sub`. Of this form no client identifier is. */
export function newSub(): string {
  return `usr_${randomBytes(16).toString('base64url')}`
}

/**
 * Where the store keeps this user's record and sessions: 12 base64url characters computed from `sub`. It stands in
 * the user's refresh tokens and session ids, so that one look finds the family and its user side by side.
 */
export function userLocator(sub: string): string {
  return hash('sha256', `pawl user locator v1\0${sub}`, 'buffer').toString('base64url', 0, 9)
}

/**
 * Draws an epoch for a user or a client: at its beginning, and again whenever all its sessions are to end. Random, so
 * that neither two changes at once nor an account deleted and made anew bring back an epoch that was.
 *
 * @param previous the epoch that must not come again.
 */
export function newEpoch(previous?: number): number {
  const epoch = randomInt(2 ** 31)
  return epoch === previous ? newEpoch(previous) : epoch
}

/** What changes with a new password: every session that began with the old one ends. */
export const withPassword = (user: User, passwordHash: string) => ({
  passwordHash,
  epoch: newEpoch(user.epoch),
})

/** What changes when the user may no longer sign in; enabled again, the old sessions stay ended. */
export const withoutAccess = (user: User) => ({ disabled: true, epoch: newEpoch(user.epoch) })

/** What changes when the user is signed out everywhere. */
export const withoutSessions = (account: { readonly epoch: number }) => ({ epoch: newEpoch(account.epoch) })
