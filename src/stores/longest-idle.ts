import type { ClientStore } from './contract.ts'

/**
 * The longest time for which a session may live without a refresh, under the server's setting or any client's own, in
 * seconds. So long a refresh-token secret must still verify when another has followed it.
 *
 * @throws {UnavailableError} when the store does not answer.
 */
export async function longestIdle(clients: ClientStore, refreshTokenIdleTtl: number): Promise<number> {
  let longest = refreshTokenIdleTtl
  for await (const client of clients.list()) longest = Math.max(longest, client.refreshTokenIdleTtl ?? 0)
  return longest
}
