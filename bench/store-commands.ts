import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from '../test/support/redis.ts'
import type { Load } from './load.ts'

/** What a refresh asks of Redis, on average over a sample in which nothing overlaps. */
export interface StoreCommands {
  /** Refreshes in the sample. */
  readonly sample: number
  /** Commands that the server sent, by name. */
  readonly sent: Readonly<Record<string, number>>
  /** Commands that scripts ran inside Redis. */
  readonly insideScripts: number
  /** Times that Redis read from a connection: with one request at a time, the round trips. */
  readonly reads: number
}

const SECONDS = 2

/**
 * Counts with MONITOR, because Redis's own counters also count what scripts run inside; MONITOR tells the two apart.
 */
export async function countCommands(redis: RedisServer, load: Load): Promise<StoreCommands> {
  const client = redis.client()
  const monitor = await client.monitor()
  const sent = new Map<string, number>()
  let insideScripts = 0
  monitor.on('monitor', (_time: string, [name = '', ...args]: string[], source: string) => {
    const command = name.toLowerCase()
    if (command === 'echo' && args[0] === END) monitor.emit('end of sample')
    else if (source === 'lua') insideScripts += 1
    else if (command !== 'info') sent.set(command, (sent.get(command) ?? 0) + 1)
  })
  try {
    const before = await readsOf(client)
    const { answers } = await load.run(1, SECONDS)
    // Whatever the server does in the background and is under way shall not be cut in two.
    await sleep(50)
    const reads = (await readsOf(client)) - before - 1
    const ended = once(monitor, 'end of sample')
    await client.echo(END)
    await ended
    return {
      sample: answers,
      sent: Object.fromEntries([...sent].map(([command, count]) => [command, count / answers])),
      insideScripts: insideScripts / answers,
      reads: reads / answers,
    }
  } finally {
    monitor.disconnect()
    client.disconnect()
  }
}

const END = 'end of sample'

/** Reads so far, the one that brought this very question included. */
async function readsOf(client: ReturnType<RedisServer['client']>): Promise<number> {
  return Number(/^total_reads_processed:(\d+)/m.exec(await client.info('stats'))?.[1])
}
