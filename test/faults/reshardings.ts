import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisCluster } from '../support/redis.ts'
import { finishMove, type Moving, move, moveKeys, movingOf, slotOf } from '../support/resharding.ts'
import type { FailoverFault } from './failovers.ts'

/** Longer than a connection may be silent. */
const ASLEEP_MS = 1500

/** What moves from one primary of a cluster to the next, key by key, while clients ask for it. */
export const RESHARDINGS: Record<string, FailoverFault<RedisCluster>> = {
  'slots of users that move': (cluster) => each(cluster, 'pawl:u:*', move),
  'a slot of user names that moves': (cluster) => each(cluster, 'pawl:usernames', move),
  'a slot of attempts that moves': async (cluster) => {
    // Nothing is in it when everybody knows the password.
    await move(await movingOf(cluster, await slotOf(cluster, 'pawl:a:{a}')))
  },
  'slots of clients that move': (cluster) => each(cluster, 'pawl:c*', move),
  'slots of users that move, and back at once': (cluster) => each(cluster, 'pawl:u:*', moveThereAndBack),
  'a slot of a user that moves to a node that falls asleep': async (cluster) => {
    const [slot] = await slotsOf(cluster, 'pawl:u:*')
    await moveToASleeper(await movingOf(cluster, slot!))
  },
}

async function each(
  cluster: RedisCluster,
  pattern: string,
  work: (moving: Moving) => Promise<void>,
): Promise<void> {
  for (const slot of await slotsOf(cluster, pattern)) await work(await movingOf(cluster, slot))
}

async function moveThereAndBack(moving: Moving): Promise<void> {
  await move(moving)
  await move({ ...moving, from: moving.to, to: moving.from })
}

async function moveToASleeper(moving: Moving): Promise<void> {
  await moveKeys(moving)
  moving.to.pause()
  await sleep(ASLEEP_MS)
  moving.to.resume()
  await finishMove(moving)
}

/** The slots of all keys of this pattern. */
async function slotsOf(cluster: RedisCluster, pattern: string): Promise<ReadonlySet<number>> {
  const slots = new Set<number>()
  for (const node of cluster.nodes) {
    const [, keys] = (await node.cli('SCAN', 0, 'MATCH', pattern, 'COUNT', 100_000)) as [string, string[]]
    for (const key of keys) slots.add(await slotOf(cluster, key))
  }
  return slots
}
