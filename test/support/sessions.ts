import { userLocator } from '../../src/accounts/user.ts'
import { loadKeys } from '../../src/keys/key-files.ts'
import { familyIdOf, mintRefreshToken, newHandle } from '../../src/tokens/refresh-token.ts'
import type { Deployment } from './deployment.ts'
import type { Credentials, Tokens } from './http-client.ts'

const DAY_MS = 86_400_000

/**
 * Begins sessions as sign-ins do, without their hashes: for tests of many sessions that are not about signing in. A server
 * must have made the keys.
 */
export function beginSessions(
  { env, withStore }: Pick<Deployment, 'env' | 'withStore'>,
  { client_id, username }: Credentials,
  count: number,
): Promise<Pick<Tokens, 'refresh_token'>[]> {
  return withStore(async (store) => {
    const { refresh } = await loadKeys(env.KEYS_DIR ?? '')
    const client = await store.clients.find(client_id)
    const user = await store.users.findByUsername(username)
    if (!client || !user) throw new Error('there is no such account')
    const begin = async () => {
      const handle = newHandle(userLocator(user.sub))
      const begun = await store.families.create({
        id: familyIdOf(handle),
        clientId: client_id,
        clientEpoch: client.epoch,
        userEpoch: user.epoch,
        scope: client.scopes,
        audience: ['https://api.example.com'],
        sender: { network: '127.0.0.0/24', agent: '' },
        idleMs: 14 * DAY_MS,
        maxMs: 90 * DAY_MS,
      })
      if (!begun) throw new Error('the session could not begin')
      return { refresh_token: mintRefreshToken(refresh, { handle, generation: 0 }) }
    }
    return Promise.all(Array.from({ length: count }, begin))
  })
}
