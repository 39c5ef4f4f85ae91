import { newClient } from '../src/accounts/client.ts'
import { type User, userLocator } from '../src/accounts/user.ts'
import type { NewFamily } from '../src/stores/contract.ts'
import { familyIdOf, newHandle } from '../src/tokens/refresh-token.ts'

const DAY_MS = 86_400_000

/** A registration as it is met in the field, because its texts are what a family's record is made of. */
export const CLIENT = newClient({
  clientId: 'web-app',
  type: 'public',
  grants: ['password', 'refresh_token'],
  scopes: ['openid', 'profile', 'read', 'write'],
  audiences: ['https://api.example.com'],
})

export const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36'

export const PASSWORD = 'correct horse battery staple'

/** A session keeps the network and the first 32 characters of the agent. */
export const SENDER = { network: '203.0.113.0/24', agent: USER_AGENT.slice(0, 32) }
export const IDLE_MS = 14 * DAY_MS
export const MAX_MS = 90 * DAY_MS

/** What a sign-in of this user writes. */
export function familyOf(user: User, handle = newHandle(userLocator(user.sub))): NewFamily {
  return {
    id: familyIdOf(handle),
    clientId: CLIENT.clientId,
    clientEpoch: CLIENT.epoch,
    userEpoch: user.epoch,
    scope: CLIENT.scopes,
    audience: CLIENT.audiences,
    sender: SENDER,
    idleMs: IDLE_MS,
    maxMs: MAX_MS,
  }
}
