import type { ClientStore } from './contract.ts'
import { type DamagedRecordError, gather, MAX_LIFE_S } from './sound-records.ts'

/**
 * The longest time for which a session may live without a refresh, under the server's setting or any client's own, in
 * seconds. So long a refresh-token secret must still verify when another has followed it. Of a client whose record is
 * damaged nobody knows, so it is the longest that there can be: secrets are rotated all the same, and kept for longer.
 *
 * @param onDamage told of such a record.
 * @throws {UnavailableError} when the store does not answer.
 */
export async function longestIdle(
  clients: ClientStore,
  refreshTokenIdleTtl: number,
  onDamage: (fault: DamagedRecordError) => void,
): Promise<number> {
  const { found, fault } = await gather(clients.list())
  if (fault) onDamage(fault)
  let longest = fault ? MAX_LIFE_S : refreshTokenIdleTtl
  for (const client of found) longest = Math.max(longest, client.refreshTokenIdleTtl ?? 0)
  return longest
}
