import { usernameFault } from '../accounts/user.ts'
import type { TokenServices } from './grant.ts'
import { refusal, type VerifiedUser, verifyHere } from './verified-user.ts'
import { admitVouchedFor } from './vouched-for.ts'

export type { VerifiedUser }

/** A name and a password, as they were typed, and the client that they came through. */
export interface UserCredentials {
  readonly username: string
  readonly password: string
  readonly clientId: string
}

/**
 * Verifies a user. Who has a password here is verified here and nowhere else; any other name goes to the verify
 * webhook, where there is one. Whatever is wrong, the work is the same.
 *
 * @throws {UnavailableError} when it cannot be told: the store or the webhook does not answer, or too many sign-ins wait.
 */
export async function verifyUser(services: TokenServices, asked: UserCredentials): Promise<VerifiedUser> {
  const { store, verifyWebhook } = services
  const user = await store.users.findByUsername(asked.username)
  // What cannot be a name here is not asked about: nobody could be admitted under it.
  const isHere = user?.passwordHash !== undefined || usernameFault(asked.username) !== undefined
  if (!verifyWebhook || isHere) return verifyHere(services, user, asked.password)
  const verdict = await verifyWebhook.verify(asked)
  if (verdict.result !== 'ok') return refusal(`the verify webhook says ${verdict.result}`, user)
  return admitVouchedFor(services, { ...asked, ...verdict, before: user })
}
