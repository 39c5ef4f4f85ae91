import type { RedisCluster } from './redis-cluster.ts'
import type { RedisServer } from './redis-server.ts'

/** A slot on its way. */
export interface Moving {
  readonly cluster: RedisCluster
  readonly slot: number
  readonly from: RedisServer
  readonly to: RedisServer
}

export async function slotOf({ nodes }: RedisCluster, key: string): Promise<number> {
  return Number(await nodes[0]!.cli('CLUSTER', 'KEYSLOT', key))
}

/** From its primary to the next. The cluster is one without replicas. */
export async function movingOf(cluster: RedisCluster, slot: number): Promise<Moving> {
  const { nodes } = cluster
  const ranges = (await nodes[0]!.cli('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
  const [, , [, port]] = ranges.find(([first, last]) => first <= slot && slot <= last)!
  const at = nodes.findIndex((node) => node.port === port)
  return { cluster, slot, from: nodes[at]!, to: nodes[(at + 1) % nodes.length]! }
}

export async function move(moving: Moving): Promise<void> {
  await moveKeys(moving)
  await finishMove(moving)
}

/** One after the other, so that clients meet a slot of which some is here and some there; at the end all is there. */
export async function moveKeys({ slot, from, to }: Moving): Promise<void> {
  await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from))
  await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to))
  const next = async () => (await from.cli('CLUSTER', 'GETKEYSINSLOT', slot, 1)) as string[]
  for (let [key] = await next(); key !== undefined; [key] = await next())
    await from.cli('MIGRATE', '127.0.0.1', to.port, key, 0, 5000)
}

/** Until here clients are sent on by `ASK`, from here on by `MOVED`. */
export async function finishMove({ cluster, slot, from, to }: Moving): Promise<void> {
  const others = cluster.nodes.filter((node) => node !== to && node !== from)
  const id = await idOf(to)
  for (const node of [to, from, ...others]) await node.cli('CLUSTER', 'SETSLOT', slot, 'NODE', id)
}

const idOf = async (node: RedisServer) => String(await node.cli('CLUSTER', 'MYID'))
