import { foldUsername } from './user.ts'

/*
 * What a new password must be (NIST SP 800-63B-4 section 3.1.1.2): long, and none that is tried first. No rules of
 * composition, and none at sign-in: a password that was once set, or was imported, is good until it is changed.
 */

/** Where a password is the only factor, the standard asks for 15; with another factor 8 will do. */
export const DEFAULT_MIN_LENGTH = 15
export const LEAST_MIN_LENGTH = 8
export const MOST_MIN_LENGTH = 64
const MAX_LENGTH = 256

/** What must be left of a password when the names that anybody would try are taken out of it. */
const LEAST_OF_ITS_OWN = 8
/** Shorter parts of a name are in too many words. */
const LEAST_OF_A_PART = 4
const LEAST_OF_A_NAME = 3
/** What must be left when everything that follows from the character before it is taken out. */
const LEAST_UNFORESEEN = 5

export interface PasswordRules {
  /** Why this cannot be a new password of this user, or `undefined` when it can; continues "the password …". */
  fault(password: string, username: string): string | undefined
}

/** Loads the rules, with their list of common passwords. @param minLength in code points. */
export async function loadPasswordRules({
  passwordMinLength,
  issuer,
}: {
  readonly passwordMinLength: number
  readonly issuer: string
}): Promise<PasswordRules> {
  // Loaded here, since whoever sets no password need not wait for it.
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  const common = new Set(dictionary['passwords-common'])
  const names = ['pawl', ...wordsIn(new URL(issuer).hostname)]
  return {
    fault: (password, username) =>
      lengthFault(password, passwordMinLength) ??
      guessFault(foldUsername(password), common, [...names, ...wordsIn(username), foldUsername(username)]),
  }
}

function lengthFault(password: string, minLength: number): string | undefined {
  const length = [...password.normalize('NFC')].length
  if (length < minLength) return `is shorter than ${minLength} characters`
  if (length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`
  return undefined
}

function guessFault(
  password: string,
  common: ReadonlySet<string>,
  names: readonly string[],
): string | undefined {
  const unit = unitOf(password)
  if (unit.length < password.length && [...unit].length < LEAST_OF_ITS_OWN)
    return 'repeats the same few characters'
  if (unforeseenIn(password) < LEAST_UNFORESEEN) return 'is little more than a sequence or the same character'
  if ([password, unit, coreOf(password), coreOf(unit)].some((text) => common.has(text))) {
    return 'is one of those that are tried first: a common password, perhaps with digits or signs around it'
  }
  const own = withoutNames(password, names)
  if (own !== undefined && [...own].length < LEAST_OF_ITS_OWN) {
    return 'is little more than the name of the user or of this server'
  }
  return undefined
}

/** What the text is a repetition of; itself where it is none. */
function unitOf(text: string): string {
  const length = (text + text).indexOf(text, 1)
  return text.slice(0, length)
}

/** The text without what is not a letter at both its ends. */
const coreOf = (text: string) => text.replace(/^\P{L}+|\P{L}+$/gu, '')

/** What people's fingers run along; the digits also from the last to the first. */
const ROWS = [
  'abcdefghijklmnopqrstuvwxyz',
  '01234567890',
  'qwertyuiopasdfghjklzxcvbnm',
  'qwertzuiopasdfghjklyxcvbnm',
  'azertyuiopqsdfghjklmwxcvbn',
  '1qaz2wsx3edc4rfv5tgb6yhn7ujm',
]
const FOLLOWS = new Set(
  ROWS.flatMap((row) => [...row].slice(1).flatMap((next, i) => [row[i]! + next, next + row[i]!])),
)

/** How many characters do not follow from the one before. */
function unforeseenIn(text: string): number {
  const characters = [...text]
  return characters.filter((character, i) => {
    const before = characters[i - 1]
    return before === undefined || (before !== character && !FOLLOWS.has(before + character))
  }).length
}

/** The parts of a name, each of which may stand for it. */
const wordsIn = (name: string) =>
  foldUsername(name)
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => [...word].length >= LEAST_OF_A_PART)

/** The letters and digits that are left when the names are taken out; `undefined` where none is in it. */
function withoutNames(password: string, names: readonly string[]): string | undefined {
  let left = password
  // The longest first: a part of a name may be within another.
  for (const name of [...names].sort((a, b) => b.length - a.length)) {
    if ([...name].length >= LEAST_OF_A_NAME) left = left.replaceAll(name, ' ')
  }
  return left === password ? undefined : left.replace(/[^\p{L}\p{N}]+/gu, '')
}
