import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RedisCluster, RedisServer } from '../support/redis.ts'
import { until } from '../support/until.ts'
import type { FailoverFault } from './failovers.ts'
import { loseWrites } from './lose-writes.ts'

/** Each befalls a primary that has users, and returns when each primary has a replica in step again. */
export const CLUSTER_FAULTS: Record<string, FailoverFault<RedisCluster>> = {
  'a failover that is asked for': async (cluster, returned) => {
    const { primary, replica } = await shardOf(cluster)
    const ask = () => replica.cli('CLUSTER', 'FAILOVER')
    await ask()
    await promoted(cluster, replica, primary, returned, ask)
    await inStep(cluster)
  },
  'a replica that is behind, and takes over': (cluster, returned) => takeOver(cluster, returned, 'TAKEOVER'),
  'a replica that is behind, and is voted for': (cluster, returned) => takeOver(cluster, returned, 'FORCE'),
  'a primary that is killed, and comes back with what it had': async (cluster, returned) => {
    const { primary, replica } = await shardOf(cluster)
    await primary.kill()
    await promoted(cluster, replica, primary, returned)
    await primary.restart()
    await inStep(cluster)
  },
  'a primary that is killed, and comes back empty': async (cluster, returned) => {
    const { primary, replica } = await shardOf(cluster)
    await primary.kill()
    await promoted(cluster, replica, primary, returned)
    rmSync(join(primary.dir, 'appendonlydir'), { recursive: true })
    await primary.restart()
    await inStep(cluster)
  },
  'a primary that is killed, its replica behind': async (cluster, returned) => {
    const { primary, replica } = await shardOf(cluster)
    await loseWrites(primary, [replica], () => primary.kill())
    await promoted(cluster, replica, primary, returned)
    await primary.restart()
    await inStep(cluster)
  },
  'a primary that sleeps through its failover': async (cluster, returned) => {
    const { primary, replica } = await shardOf(cluster)
    primary.pause()
    await promoted(cluster, replica, primary, returned)
    // It wakes up as the primary that it was.
    primary.resume()
    await inStep(cluster)
  },
}

/** A failover that was asked for and not voted for in 5 s is given up by Redis; 4 s after their last vote, primaries vote again. */
const ASKED_AGAIN_MS = 6000

/** Has the replica hear of it before it hears of its primary again. */
async function takeOver(
  cluster: RedisCluster,
  returned: () => void,
  how: 'TAKEOVER' | 'FORCE',
): Promise<void> {
  const { primary, replica } = await shardOf(cluster)
  const client = replica.client()
  await client.ping()
  let accepted: Promise<unknown> | undefined
  await loseWrites(primary, [replica], async () => {
    accepted = client.call('CLUSTER', 'FAILOVER', how)
  })
  await accepted
  client.disconnect()
  await promoted(cluster, replica, primary, returned, () => replica.cli('CLUSTER', 'FAILOVER', how))
  await inStep(cluster)
}

interface Shard {
  readonly primary: RedisServer
  readonly replica: RedisServer
}

/** The one that has the most users. */
async function shardOf(cluster: RedisCluster): Promise<Shard> {
  const shards = await Promise.all(
    (await shardsOf(cluster)).map(async ({ primary, replica }) => {
      if (!replica) throw new Error('a primary has no replica')
      const found = await primary.cli('SCAN', 0, 'MATCH', 'pawl:u:*', 'COUNT', 100_000)
      return { primary, replica, users: (found as [string, string[]])[1].length }
    }),
  )
  return shards.sort((a, b) => b.users - a.users)[0]!
}

/** Every primary, and its replica. */
async function shardsOf(cluster: RedisCluster) {
  const nodes = await Promise.all(cluster.nodes.map(async (node) => ({ node, role: await roleOf(node) })))
  return nodes
    .filter(({ role }) => role[0] === 'master')
    .map(({ node }) => ({
      primary: node,
      replica: nodes.find(({ role }) => role[0] === 'slave' && role[2] === node.port)?.node,
    }))
}

/** `master`, its offset, its replicas; or `slave`, its primary's address and port, its link, its offset. */
const roleOf = async (node: RedisServer) => (await node.cli('ROLE')) as readonly unknown[]

async function promoted(
  { nodes }: RedisCluster,
  replica: RedisServer,
  primary: RedisServer,
  returned: () => void,
  askAgain?: () => Promise<unknown>,
): Promise<void> {
  let askedAt = performance.now()
  await until('the replica is a primary', async () => {
    if ((await roleOf(replica))[0] === 'master') return true
    if (askAgain && performance.now() - askedAt > ASKED_AGAIN_MS) {
      askedAt = performance.now()
      await askAgain()
    }
    return false
  })
  const others = nodes.filter((node) => node !== primary)
  await until('the others find the cluster in order', () => allInOrder(others))
  returned()
}

async function inStep(cluster: RedisCluster): Promise<void> {
  await until('every primary has a replica in step', async () => {
    if (!(await allInOrder(cluster.nodes))) return false
    const shards = await shardsOf(cluster)
    return (
      shards.length * 2 === cluster.nodes.length && (await Promise.all(shards.map(isInStep))).every(Boolean)
    )
  })
}

async function isInStep({ primary, replica }: { primary: RedisServer; replica: RedisServer | undefined }) {
  if (!replica) return false
  const [, written] = await roleOf(primary)
  const [, , , link, read] = await roleOf(replica)
  return link === 'connected' && Number(read) >= Number(written)
}

async function allInOrder(nodes: readonly RedisServer[]): Promise<boolean> {
  const infos = await Promise.all(nodes.map(async (node) => String(await node.cli('CLUSTER', 'INFO'))))
  return infos.every((info) => info.includes('cluster_state:ok'))
}
