import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RedisSentinel, RedisServer } from '../support/redis.ts'
import type { FailoverFault } from './failovers.ts'
import { loseWrites } from './lose-writes.ts'

/** Each returns when there is one primary, and every other server follows it. */
export const SENTINEL_FAULTS: Record<string, FailoverFault<RedisSentinel>> = {
  'a failover that is asked for': async (sentinel) => {
    await sentinel.failover()
  },
  'a primary that is killed, and comes back with what it had': async (sentinel, returned) => {
    const primary = await sentinel.primary()
    await primary.kill()
    await replaced(sentinel, primary, returned)
    await primary.restart()
    await sentinel.inStep()
  },
  'a primary that is killed, and comes back empty': async (sentinel, returned) => {
    const primary = await sentinel.primary()
    await primary.kill()
    await replaced(sentinel, primary, returned)
    rmSync(join(primary.dir, 'appendonlydir'), { recursive: true })
    await primary.restart()
    await sentinel.inStep()
  },
  'a primary that is killed, its replicas behind': async (sentinel, returned) => {
    const primary = await sentinel.primary()
    const replicas = sentinel.servers.filter((server) => server !== primary)
    await loseWrites(primary, replicas, () => primary.kill())
    await replaced(sentinel, primary, returned)
    await primary.restart()
    await sentinel.inStep()
  },
  'a primary that sleeps through its failover': async (sentinel, returned) => {
    const primary = await sentinel.primary()
    primary.pause()
    await replaced(sentinel, primary, returned)
    // It wakes up as the primary that it was.
    primary.resume()
    await sentinel.inStep()
  },
}

async function replaced(sentinel: RedisSentinel, primary: RedisServer, returned: () => void): Promise<void> {
  await sentinel.successorOf(primary)
  returned()
}
