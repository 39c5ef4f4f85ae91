import type { User } from '../accounts/user.ts'
import type { TokenServices } from './grant.ts'

/** A name and a password, as they were typed. */
export interface UserCredentials {
  readonly username: string
  readonly password: string
}

/** Who it is; or why nobody is signed in, for our log only. */
export type VerifiedUser = { readonly user: User } | { readonly refused: string }

/**
 * Verifies a user by the built-in directory. Whatever is wrong, the work is the same, except that an imported hash costs
 * what it costs until its user first signs in.
 *
 * @throws {UnavailableError} when it cannot be told: the store does not answer, or too many sign-ins wait.
 */
export async function verifyUser(
  { store, passwords, rehashing }: TokenServices,
  { username, password }: UserCredentials,
): Promise<VerifiedUser> {
  const user = await store.users.findByUsername(username)
  const isRight = await passwords.verify(password, user?.passwordHash)
  if (!user) return { refused: 'no such user' }
  if (!isRight) return { refused: 'wrong password' }
  if (user.disabled) return { refused: 'the user is disabled' }
  rehashing.consider(user, password)
  return { user }
}
