import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

// Below every system's ephemeral range, so that no outgoing connection takes the port of a server that is about to restart.
const LOWEST_PORT = 12_000
const HIGHEST_PORT = 22_000
// A Redis Cluster node also listens this far above its port; Redis 6.2 cannot be told otherwise.
export const CLUSTER_BUS_OFFSET = 10_000

// Nobody holds a port until its server listens. So test files that run beside each other, by tap's count of them, draw
// from different ones, and none draws one twice.
const MOST_JOBS = 4
const JOB = Number(process.env.TAP_JOB_ID ?? 0) % MOST_JOBS
const drawn = new Set<number>()

/** A loopback port that nothing listens on, its Redis Cluster bus port free as well. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = MOST_JOBS * randomInt(LOWEST_PORT / MOST_JOBS, HIGHEST_PORT / MOST_JOBS) + JOB
    if (drawn.has(port)) continue
    drawn.add(port)
    if ((await isFree(port)) && (await isFree(port + CLUSTER_BUS_OFFSET))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1')
  try {
    await once(probe, 'listening')
  } catch {
    return false
  }
  probe.close()
  await once(probe, 'close')
  return true
}
