import { readFileSync } from 'node:fs'
import type { RedisServer } from '../test/support/redis.ts'
import type { Load } from './load.ts'

/** The audit log in the store, which is bounded and no part of a session. Only Pawl has it. */
const AUDIT_STREAM = 'pawl:audit'

/** What Redis holds more per family than before these users had signed in. */
export interface FamilyGrowth {
  readonly families: number
  readonly after: readonly {
    readonly rotations: number
    readonly bytes: number
    readonly keys: number
  }[]
}

/**
 * One family for each of these users, rotated over HTTP. Where nothing rotates it is as many access tokens.
 *
 * @param load without users, and signs these in.
 */
export async function measureGrowth(
  redis: RedisServer,
  load: Load,
  usernames: readonly string[],
  rotations: readonly number[],
): Promise<FamilyGrowth> {
  const families = usernames.length
  const before = await contentOf(redis)
  await load.signIn(usernames)
  const after = []
  let done = 0
  for (const target of rotations) {
    await load.rotate(load.size, target - done)
    done = target
    const { bytes, keys } = await contentOf(redis)
    after.push({
      rotations: target,
      bytes: (bytes - before.bytes) / families,
      keys: (keys - before.keys) / families,
    })
  }
  return { families, after }
}

/**
 * What MEMORY USAGE says of every key, without the audit log. Redis's own tables are not in it, some tens of bytes for
 * each key; in return the figure is the same each time, as `used_memory` with its growing tables is not.
 */
async function contentOf(redis: RedisServer): Promise<{ bytes: number; keys: number }> {
  const client = redis.client()
  try {
    let [bytes, count] = [0, 0]
    for await (const page of client.scanStream({ count: 1000 }) as AsyncIterable<string[]>) {
      const keys = page.filter((key) => key !== AUDIT_STREAM)
      const sizes = await Promise.all(keys.map((key) => client.memory('USAGE', key, 'SAMPLES', 0)))
      bytes += sizes.reduce<number>((sum, size) => sum + Number(size), 0)
      count += keys.length
    }
    return { bytes, keys: count }
  } finally {
    client.disconnect()
  }
}

/** Resident memory of a process, in bytes; null on a system without `/proc`. */
export function residentBytesOf(pid: number): number | null {
  try {
    const kibibytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kibibytes === undefined ? null : Number(kibibytes) * 1024
  } catch {
    return null
  }
}
