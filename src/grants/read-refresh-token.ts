import { UnavailableError } from '../oauth/errors.ts'
import { type RefreshToken, readRefreshToken, secretIdOf } from '../tokens/refresh-token.ts'
import type { TokenServices } from './grant.ts'

/**
 * Reads a refresh token that was presented; `undefined` when it is not one of ours.
 *
 * That is final, and clients end the session for it. So a token under a secret that this server does not know is not
 * judged before a look at whether there is such a secret since a moment ago.
 *
 * @throws {UnavailableError} when that cannot be seen.
 */
export async function readPresentedRefreshToken(
  { refreshSecrets, lookForKeys }: TokenServices,
  text: string,
): Promise<RefreshToken | undefined> {
  const token = readRefreshToken(refreshSecrets, text)
  if (token) return token
  const secretId = secretIdOf(text)
  if (secretId === undefined || refreshSecrets.macKeys.has(secretId)) return undefined
  try {
    await lookForKeys()
  } catch (cause) {
    throw new UnavailableError('The keys cannot be read at the moment', { cause })
  }
  return readRefreshToken(refreshSecrets, text)
}
