import { IN_COMMAND, startPasswordHashing } from '../src/accounts/password-hashing.ts'
import { newEpoch, newSub, type User } from '../src/accounts/user.ts'
import type { Store } from '../src/stores/contract.ts'
import { parseStoreUrl } from '../src/stores/location.ts'
import { openStore, untilReachable } from '../src/stores/open-store.ts'
import { CLIENT, PASSWORD } from './registration.ts'

/** Registers the client and as many users. They share a password and its hash: hashing is not what is measured. */
export async function createAccounts(store: Store, count: number): Promise<User[]> {
  const hashing = startPasswordHashing(IN_COMMAND)
  const passwordHash = await hashing.hash(PASSWORD)
  await hashing.close()
  await store.clients.create(CLIENT)
  const users = Array.from({ length: count }, (_, i) => ({
    sub: newSub(),
    username: `user-${i}@example.com`,
    passwordHash,
    disabled: false,
    claims: {},
    epoch: newEpoch(),
    createdAt: Date.now(),
  }))
  for (const user of users) await store.users.create(user)
  return users
}

/** As `createAccounts`, in the store at this URL, which is open for no longer than that. */
export async function prepareUsers(storeUrl: string, count: number): Promise<User[]> {
  const store = await openStore(parseStoreUrl(storeUrl), { waitReplicas: 0, onChange: () => undefined })
  try {
    await untilReachable(store, 5000)
    return await createAccounts(store, count)
  } finally {
    await store.close()
  }
}

/** As `prepareUsers`. @returns the user names. */
export async function prepareAccounts(storeUrl: string, count: number): Promise<string[]> {
  return (await prepareUsers(storeUrl, count)).map(({ username }) => username)
}
