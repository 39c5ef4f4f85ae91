import { RedisServer, serverArguments } from './redis-server.ts'
import { until } from './until.ts'

const SLOTS = 16_384

/** Three primaries that share the slots evenly, without replicas. */
export interface RedisCluster {
  /** `redis-cluster://…`, the addresses those of all nodes. */
  url: string
  nodes: RedisServer[]
  stop(): Promise<void>
}

/** Starts a Redis Cluster of the test's own and returns when every node finds it in order. */
export async function startCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all([1, 2, 3].map(startNode))
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  await Promise.all(
    nodes.map((node, index) => node.cli('CLUSTER', 'ADDSLOTS', ...shareOf(index, nodes.length))),
  )
  // Nodes that meet with equal epochs need rounds of gossip to settle who comes first.
  await Promise.all(nodes.map((node, index) => node.cli('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)))
  for (const other of others) await first.cli('CLUSTER', 'MEET', '127.0.0.1', other.port)
  await until('every cluster node is in order', async () => {
    const infos = await Promise.all(nodes.map(async (node) => String(await node.cli('CLUSTER', 'INFO'))))
    return infos.every((info) => info.includes('cluster_state:ok') && info.includes('cluster_size:3'))
  })
  return {
    url: `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

function startNode(): Promise<RedisServer> {
  return RedisServer.start((port, dir) => ({
    args: [...serverArguments(port, dir), '--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
  }))
}

/** The slots of node `index` of `count`, each named: ranges (ADDSLOTSRANGE) came with Redis 7. */
function shareOf(index: number, count: number): number[] {
  const start = Math.floor((SLOTS * index) / count)
  const end = Math.floor((SLOTS * (index + 1)) / count)
  return Array.from({ length: end - start }, (_, offset) => start + offset)
}
