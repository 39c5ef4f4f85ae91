import type { Socket } from 'node:net'
import { Cluster, type Redis } from 'ioredis'

/**
 * Lets the commands of one turn of the event loop go out together, one write for each connection: with many requests at
 * once a write each is 3 % of what a refresh costs, and as much again at Redis. Who is alone waits for nobody: the turn
 * is over as soon as the request is read.
 *
 * @returns to be called before a command.
 */
export function gatherWrites(redis: Redis | Cluster): () => void {
  const nodes = new Set<Redis>()
  if (redis instanceof Cluster) {
    redis.on('+node', (node: Redis) => nodes.add(node))
    redis.on('-node', (node: Redis) => nodes.delete(node))
  } else {
    nodes.add(redis)
  }
  let isGathering = false
  return () => {
    if (isGathering) return
    isGathering = true
    // Held now: a connection may be another one when the turn is over.
    const streams = [...nodes].flatMap(({ stream }) => (stream ? [stream as Socket] : []))
    for (const stream of streams) stream.cork()
    setImmediate(() => {
      isGathering = false
      for (const stream of streams) stream.uncork()
    })
  }
}
