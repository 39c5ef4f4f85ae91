import { RedisServer, serverArguments } from './redis-server.ts'
import { until } from './until.ts'

const SLOTS = 16_384
const PRIMARIES = 3

/** Three primaries that share the slots evenly, and their replicas. */
export interface RedisCluster {
  /** `redis-cluster://…`, the addresses those of all nodes. */
  url: string
  /** The first three are primaries at the beginning. */
  nodes: RedisServer[]
  stop(): Promise<void>
}

export interface ClusterSettings {
  /** Whether each primary has a replica. */
  replicas?: boolean
  /** How long a node must be silent before the others take it for dead. */
  nodeTimeoutMs?: number
  /** Whether a node that is killed and comes back has what it had. */
  aof?: boolean
}

/** Starts a Redis Cluster of the test's own and returns when every node finds it in order. */
export async function startCluster({
  replicas = false,
  nodeTimeoutMs = 15_000,
  aof = false,
}: ClusterSettings = {}): Promise<RedisCluster> {
  const start = () => startNode(nodeTimeoutMs, aof)
  const nodes = await Promise.all(Array.from({ length: replicas ? 2 * PRIMARIES : PRIMARIES }, start))
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  const primaries = nodes.slice(0, PRIMARIES)
  await Promise.all(
    primaries.map((node, index) => node.cli('CLUSTER', 'ADDSLOTS', ...shareOf(index, PRIMARIES))),
  )
  // Nodes that meet with equal epochs need rounds of gossip to settle who comes first.
  await Promise.all(nodes.map((node, index) => node.cli('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)))
  for (const other of others) await first.cli('CLUSTER', 'MEET', '127.0.0.1', other.port)
  await until('every cluster node is in order', async () => {
    const infos = await Promise.all(nodes.map(async (node) => String(await node.cli('CLUSTER', 'INFO'))))
    const signs = ['cluster_state:ok', `cluster_size:${PRIMARIES}`, `cluster_known_nodes:${nodes.length}\r`]
    return infos.every((info) => signs.every((sign) => info.includes(sign)))
  })
  await Promise.all(
    nodes.slice(PRIMARIES).map(async (node, index) => {
      await node.cli('CLUSTER', 'REPLICATE', String(await primaries[index]!.cli('CLUSTER', 'MYID')))
      await until('the replica is in step', async () =>
        String(await node.cli('INFO', 'replication')).includes('master_link_status:up'),
      )
    }),
  )
  return {
    url: `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

function startNode(nodeTimeoutMs: number, aof: boolean): Promise<RedisServer> {
  return RedisServer.start((port, dir) => {
    const args = [...serverArguments(port, dir), '--repl-diskless-sync-delay', '0']
    args.push('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
    args.push('--cluster-node-timeout', String(nodeTimeoutMs))
    if (aof) args.push('--appendonly', 'yes')
    return { args }
  })
}

/** The slots of node `index` of `count`, each named: ranges (ADDSLOTSRANGE) came with Redis 7. */
function shareOf(index: number, count: number): number[] {
  const start = Math.floor((SLOTS * index) / count)
  const end = Math.floor((SLOTS * (index + 1)) / count)
  return Array.from({ length: end - start }, (_, offset) => start + offset)
}
