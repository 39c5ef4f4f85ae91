import type { User } from '../accounts/user.ts'
import type { TokenServices } from './grant.ts'

/**
 * Who it is; or why nobody is signed in, for our log only, with the user's `sub` where there is such a user; or that the
 * account changed in the middle, so that it cannot be told.
 */
export type VerifiedUser =
  | { readonly user: User }
  | { readonly refused: string; readonly sub?: string }
  | 'changed'

export function refusal(refused: string, user: User | undefined): VerifiedUser {
  return { refused, ...(user && { sub: user.sub }) }
}

/**
 * Verifies a user by the password that is kept here. Whatever is wrong, also that there is no such user, the work is
 * the same, except that an imported hash costs what it costs until its user first signs in.
 *
 * @throws {UnavailableError} when too many sign-ins wait.
 */
export async function verifyHere(
  { passwords, rehashing }: Pick<TokenServices, 'passwords' | 'rehashing'>,
  user: User | undefined,
  password: string,
): Promise<VerifiedUser> {
  const isRight = await passwords.verify(password, user?.passwordHash)
  if (!user) return { refused: 'no such user' }
  if (!isRight) return refusal('wrong password', user)
  if (user.disabled) return refusal('the user is disabled', user)
  rehashing.consider(user, password)
  return { user }
}
