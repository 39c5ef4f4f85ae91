import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from '../test/support/redis.ts'
import type { Load } from './load.ts'

/** The audit log in the store, which is bounded and no part of a session. Only Pawl has it. */
const AUDIT_STREAM = 'pawl:audit'

/** What Redis holds more per family than before anyone had signed in. */
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
 * @param signIn signs them in, and nobody before.
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

/** The least of a second, in which Redis resizes its tables; without its buffers and without the audit log. */
async function contentOf(redis: RedisServer): Promise<{ bytes: number; keys: number }> {
  let bytes = Number.POSITIVE_INFINITY
  for (let look = 0; look < 5; look += 1) {
    await sleep(200)
    const memory = String(await redis.cli('INFO', 'memory'))
    const figure = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(memory)?.[1] ?? 0)
    const buffers = figure('mem_clients_normal') + figure('mem_aof_buffer')
    bytes = Math.min(bytes, figure('used_memory') - buffers)
  }
  const audit = Number((await redis.cli('MEMORY', 'USAGE', AUDIT_STREAM, 'SAMPLES', 0)) ?? 0)
  const keys = Number(await redis.cli('DBSIZE')) - (audit > 0 ? 1 : 0)
  return { bytes: bytes - audit, keys }
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
