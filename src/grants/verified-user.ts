import { storedHashFault } from '../accounts/stored-hash.ts'
import { type User, userLocator } from '../accounts/user.ts'
import { UnavailableError } from '../oauth/errors.ts'
import { damaged } from '../stores/sound-records.ts'
import type { TokenServices } from './grant.ts'

/** Who it is; or why nobody is signed in, for our log only, with the user's `sub` where there is such a user. */
export type VerifiedUser = { readonly user: User } | { readonly refused: string; readonly sub?: string }

/**
 * What ends a user's sessions keeps a new one from beginning by what was read before it. The name and the password may
 * well be right all the same: who asks again is told.
 */
export function accountChanged(): UnavailableError {
  return new UnavailableError('The account has changed meanwhile')
}

export function refusal(refused: string, user: User | undefined): VerifiedUser {
  return { refused, ...(user && { sub: user.sub }) }
}

/**
 * Verifies a user by the password that is kept here. Whatever is wrong, also that there is no such user, the work is
 * the same, except that an imported hash costs what it costs until its user first signs in.
 *
 * @throws {UnavailableError} when too many sign-ins wait, or the hash is damaged: no fault of whoever asks.
 */
export async function verifyHere(
  { passwords, rehashing }: Pick<TokenServices, 'passwords' | 'rehashing'>,
  user: User | undefined,
  password: string,
): Promise<VerifiedUser> {
  const passwordHash = user?.passwordHash
  const fault = passwordHash === undefined ? undefined : storedHashFault(passwordHash)
  // For one that cannot be read, the work for nobody: the time is not to tell whose it is.
  const isRight = await passwords.verify(password, fault === undefined ? passwordHash : undefined)
  if (!user) return { refused: 'no such user' }
  if (fault !== undefined)
    throw damaged(`the user at ${userLocator(user.sub)}`, `has a passwordHash that ${fault}`)
  if (!isRight) return refusal('wrong password', user)
  if (user.disabled) return refusal('the user is disabled', user)
  rehashing.consider(user, password)
  return { user }
}
