import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from '../support/redis.ts'

/** Shorter than any replica may be silent before somebody takes it for dead. */
const BEHIND_MS = 300

/**
 * Leaves replicas behind their primary by what clients write in a moment, as a network does that is slow between them.
 *
 * @param then what becomes of the primary, before the replicas are heard of again.
 */
export async function loseWrites(
  primary: RedisServer,
  replicas: readonly RedisServer[],
  then: () => Promise<unknown>,
): Promise<void> {
  for (const replica of replicas) replica.pause()
  // What is on its way to a replica that only sleeps would reach it yet.
  await primary.cli('CLIENT', 'KILL', 'TYPE', 'replica')
  await sleep(BEHIND_MS)
  await then()
  for (const replica of replicas) replica.resume()
}
