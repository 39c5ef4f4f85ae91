import { hash } from 'node:crypto'
import { claimsFault, type ExtraClaims } from './extra-claims.ts'
import { type FirebaseParameters, readImportedHash } from './imported-hash.ts'
import { foldUsername, newEpoch, subFault, type User, usernameFault } from './user.ts'

/** A row of an import, read. */
export interface ImportRow {
  readonly username: string
  /** In one of the texts of stored-hash.ts. */
  readonly passwordHash: string
  readonly claims: ExtraClaims
  readonly disabled: boolean
  /** Where the row says none, one is made of it. */
  readonly sub: string | undefined
}

const MEMBERS = ['username', 'password_hash', 'sub', 'claims', 'disabled']

/**
 * Reads a row: what a line of NDJSON says, or the columns of CSV with its claims and its `disabled` read.
 *
 * @throws {TypeError} with a message that says what is wrong, and never repeats a hash.
 */
export function readImportRow(row: unknown, firebase?: FirebaseParameters): ImportRow {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    throw new TypeError('the row is no JSON object')
  }
  const { username, password_hash, sub, claims = {}, disabled = false } = row as Record<string, unknown>
  if (Object.keys(row).some((name) => !MEMBERS.includes(name))) {
    throw new TypeError(`the row has a member that is none of ${MEMBERS.join(', ')}`)
  }
  if (typeof username !== 'string') throw new TypeError('username is missing, or no text')
  const fault = usernameFault(username)
  if (fault) throw new TypeError(`username ${fault}`)
  if (password_hash === undefined || password_hash === null) throw new TypeError('password_hash is missing')
  if (sub !== undefined) {
    if (typeof sub !== 'string') throw new TypeError('sub is no text')
    const wrong = subFault(sub)
    if (wrong) throw new TypeError(`sub ${wrong}`)
  }
  if (typeof disabled !== 'boolean') throw new TypeError('disabled is neither true nor false')
  const unfit = claimsFault(claims)
  if (unfit) throw new TypeError(`the claims ${unfit}`)
  return {
    username: username.normalize('NFC'),
    passwordHash: hashOf(password_hash, firebase),
    claims: claims as ExtraClaims,
    disabled,
    sub,
  }
}

function hashOf(value: unknown, firebase: FirebaseParameters | undefined): string {
  try {
    return readImportedHash(value, firebase)
  } catch (error) {
    throw new TypeError(`the password hash ${(error as Error).message}`)
  }
}

/** The user of a row, not yet in any store. */
export function userOf(row: ImportRow): User {
  return { ...row, sub: subOf(row), epoch: newEpoch(), createdAt: Date.now() }
}

/**
 * The `sub` of the row's user, by which the row is known again when it comes a second time, whatever has changed since.
 * Where the row says none, it is drawn from the name and the hash, whose salt nobody can guess.
 */
export function subOf({ sub, username, passwordHash }: ImportRow): string {
  if (sub !== undefined) return sub
  const text = `pawl import v1\0${foldUsername(username)}\0${passwordHash}`
  return `usr_${hash('sha256', text, 'buffer').toString('base64url', 0, 16)}`
}
