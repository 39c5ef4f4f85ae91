import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from '../support/redis.ts'
import { until } from '../support/until.ts'

/** Shorter than any replica may be silent before somebody takes it for dead. */
const BEHIND_MS = 300
/** Some of them by clients who go on with what they got. */
const WRITES = 10

/** How often anything was changed; what sentinels say to one another changes nothing. */
async function writesOf(primary: RedisServer): Promise<number> {
  const info = String(await primary.cli('INFO', 'persistence'))
  return Number(/^rdb_changes_since_last_save:(\d+)/m.exec(info)?.[1])
}

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
  const before = await writesOf(primary)
  await until('clients have written', async () => (await writesOf(primary)) >= before + WRITES)
  await sleep(BEHIND_MS)
  await then()
  for (const replica of replicas) replica.resume()
}
