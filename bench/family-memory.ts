import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { type User, userLocator } from '../src/accounts/user.ts'
import type { Store } from '../src/stores/contract.ts'
import { parseStoreUrl } from '../src/stores/location.ts'
import { openStore, untilReachable } from '../src/stores/open-store.ts'
import { familyKey } from '../src/stores/redis/keys.ts'
import { familyIdOf, newHandle } from '../src/tokens/refresh-token.ts'
import { startRedis } from '../test/support/redis.ts'
import { createAccounts } from './accounts.ts'
import { CLIENT, familyOf, IDLE_MS, SENDER } from './registration.ts'

const AT_ONCE = 200

/** Memory of Redis per family where every user has one. */
export interface FamilyMemory {
  readonly families: number
  readonly after: readonly {
    readonly rotations: number
    /** Growth of `used_memory` since there were users and no families: records, places in the users', Redis's tables. */
    readonly bytes: number
    /** What MEMORY USAGE says of one family's record: without its place in the user's, and without Redis's tables. */
    readonly recordBytes: number
    /** What a rotation took inside Redis, by its own count (`commandstats`), since the rotations before. */
    readonly scriptMicroseconds: number
  }[]
}

/**
 * In a Redis of its own that keeps nothing but its keys: no log to disk, whose buffers would be measured too, no log of
 * slow commands, no histograms of latency.
 */
export async function measureFamilyMemory(
  families: number,
  rotations: readonly number[],
  progress: (line: string) => void,
): Promise<FamilyMemory> {
  const redis = await startRedis({ config: ['--slowlog-log-slower-than', '-1'] })
  const client = redis.client()
  // Redis 6 has neither the histograms nor the setting.
  await client.config('SET', 'latency-tracking', 'no').catch(() => undefined)
  const store = await openStore(parseStoreUrl(redis.url), { waitReplicas: 0, onChange: () => undefined })
  try {
    await untilReachable(store, 2000)
    const users = await createAccounts(store, families + 1)
    // The first family of all also loads the scripts.
    await turn(store, [await createFamily(store, users.pop()!)], 0)
    await touch(store, users)
    const baseline = await settledMemory(client)

    const ids: string[] = []
    await inBatches(users, async (user) => ids.push(await createFamily(store, user)))
    const after = []
    let generation = 0
    for (const target of rotations) {
      const before = await scriptsOf(client)
      for (; generation < target; generation += 1) await turn(store, ids, generation)
      const { calls, microseconds } = await scriptsOf(client)
      const scriptMicroseconds = (microseconds - before.microseconds) / (calls - before.calls)
      const bytes = ((await settledMemory(client)) - baseline) / families
      const recordBytes = Number(await client.memory('USAGE', familyKey(ids[0]!)))
      after.push({ rotations: target, bytes, recordBytes, scriptMicroseconds })
      progress(`${families} families after ${target} rotations: ${Math.round(bytes)} bytes each`)
    }
    return { families, after }
  } finally {
    await store.close()
    client.disconnect()
    await redis.stop()
  }
}

async function createFamily(store: Store, user: User): Promise<string> {
  const family = familyOf(user)
  const begun = await store.families.create(family)
  if (!begun) throw new Error('a family could not be created')
  return family.id
}

/**
 * Looks each user up a few times. Redis goes on resizing the table of a user's record when it is next read, and that
 * would give back memory, 32 bytes each, in the middle of the measurement.
 */
async function touch(store: Store, users: readonly User[]): Promise<void> {
  await inBatches(users, async (user) => {
    const id = familyIdOf(newHandle(userLocator(user.sub)))
    for (let look = 0; look < 4; look += 1) await store.families.look(id)
  })
}

/** One rotation of every family. */
async function turn(store: Store, ids: readonly string[], from: number): Promise<void> {
  await inBatches(ids, async (id) => {
    const { applied } = await store.families.advance({
      id,
      from,
      to: from + 1,
      clientId: CLIENT.clientId,
      clientEpoch: CLIENT.epoch,
      sender: SENDER,
      idleMs: IDLE_MS,
    })
    if (!applied) throw new Error('a family did not move')
  })
}

/**
 * The least `used_memory` of six seconds: in that time Redis resizes its tables and lets go of the connections' buffers,
 * in the background.
 */
async function settledMemory(client: Redis): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let second = 0; second < 6; second += 1) {
    await sleep(1000)
    least = Math.min(least, Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1]))
  }
  return least
}

/** The scripts that have run, and what they took, by Redis' own count. */
async function scriptsOf(client: Redis): Promise<{ calls: number; microseconds: number }> {
  const stats = await client.info('commandstats')
  const [, calls, microseconds] = /^cmdstat_evalsha:calls=(\d+),usec=(\d+)/m.exec(stats) ?? []
  return { calls: Number(calls), microseconds: Number(microseconds) }
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE)
    await Promise.all(items.slice(at, at + AT_ONCE).map(work))
}
