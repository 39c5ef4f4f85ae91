import type { Client } from '../accounts/client.ts'
import type { User } from '../accounts/user.ts'
import type { Store, UserCreation } from './contract.ts'

/*
 * The `sub` of a token that a client asked for on its own behalf is its client identifier (RFC 9068 section 2.2), so no
 * user may have it as `sub`. A `sub` of ours never is one; one brought from elsewhere may be. Client and user are in
 * two places of a store: so whoever creates one looks for the other afterwards, and takes back what it created. Of two
 * who do so at once, one at least sees the other.
 */

/** Creates a client. Nothing was given out of one that is taken back. */
export async function createClient(
  store: Store,
  client: Client,
): Promise<'created' | 'client_id_taken' | 'is_a_sub'> {
  if (await store.users.find(client.clientId)) return 'is_a_sub'
  if (!(await store.clients.create(client))) return 'client_id_taken'
  if (!(await store.users.find(client.clientId))) return 'created'
  await store.clients.delete(client.clientId)
  return 'is_a_sub'
}

/** Creates a user. */
export async function createUser(store: Store, user: User): Promise<UserCreation> {
  if (await store.clients.find(user.sub)) return 'sub_taken'
  const answer = await store.users.create(user)
  if (answer !== 'created' || !(await store.clients.find(user.sub))) return answer
  await store.users.delete(user)
  return 'sub_taken'
}
