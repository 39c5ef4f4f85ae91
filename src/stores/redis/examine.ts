import { Cluster, type Redis } from 'ioredis'
import { type Finding, findingsOf } from '../finding.ts'
import { clientOf, type RedisLocation } from './connection.ts'

export interface RedisExpectations {
  /** REDIS_WAIT_REPLICAS. */
  readonly waitReplicas: number
  /** Whether a Redis that keeps nothing on disk is meant to be so. */
  readonly allowVolatile: boolean
}

/** The scripts use nothing newer. */
const LEAST_VERSION = [6, 2] as const
const PATIENCE_MS = 3000
/** Lifetimes go by the store's clock, and access tokens by it are checked by everybody's. */
const CLOCK_NOTE_MS = 1000
const CLOCK_FAULT_MS = 30_000
const MEMORY_NOTE = 0.8
const MEMORY_FAULT = 0.95
const CLUSTER_SLOTS = 16_384

const ABOUT = findingsOf('STORE_URL')

/** Looks whether this Redis keeps what it is told, and is as the configuration expects. */
export async function examineRedis(location: RedisLocation, expected: RedisExpectations): Promise<Finding[]> {
  const client = clientOf(location)
  let reason = 'no answer'
  const connection: unknown = client
  client.on('error', (error: NodeJS.ErrnoException & { lastNodeError?: Error }) => {
    reason = error.lastNodeError?.message || error.code || error.message
  })
  try {
    if (!(await isReady(client))) {
      return [
        ABOUT.fault(
          `the store does not answer (${reason})`,
          'Start it, or correct the address or the password.',
        ),
      ]
    }
    if (!(connection instanceof Cluster)) return await examineNode(client, '', expected)
    const nodes = connection.nodes('master')
    const each = await Promise.all(
      nodes.map((node) => examineNode(node, ` (${node.options.host}:${node.options.port})`, expected)),
    )
    return [...each.flat(), ...(await examineCluster(nodes))]
  } catch (error) {
    return [
      ABOUT.fault(
        `the store answers with an error: ${(error as Error).message}`,
        'Let this user run the commands of docs/storage.md.',
      ),
    ]
  } finally {
    client.disconnect()
  }
}

function isReady(client: ReturnType<typeof clientOf>): Promise<boolean> {
  if (client.status === 'ready') return Promise.resolve(true)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE_MS)
    client.once('ready', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}

/** One Redis server. @param where what tells it from its siblings. */
async function examineNode(
  node: Redis,
  where: string,
  { waitReplicas, allowVolatile }: RedisExpectations,
): Promise<Finding[]> {
  const clock = await examineClock(node, where)
  const info = membersOf(await node.info())
  return [
    examineVersion(info, where),
    clock,
    ...(await examinePersistence(node, info, where, allowVolatile)),
    ...examineMemory(info, where),
    ...examineReplication(node, info, where, waitReplicas),
  ]
}

function examineVersion(info: Info, where: string): Finding {
  const version = info.redis_version ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const says = `Redis ${version}${where}`
  const isOld = major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1])
  return isOld ? ABOUT.fault(says, `Use ${LEAST_VERSION.join('.')} or newer.`) : ABOUT.ok(says)
}

async function examineClock(node: Redis, where: string): Promise<Finding> {
  const sent = Date.now()
  const [seconds, micros] = (await node.time()).map(Number)
  const received = Date.now()
  const theirs = 1000 * (seconds ?? 0) + (micros ?? 0) / 1000
  // What lies between asking and being told is no difference.
  const off = theirs < sent ? theirs - sent : Math.max(0, theirs - received)
  const says = `the store's clock${where} is ${(Math.abs(off) / 1000).toFixed(1)} s ${off < 0 ? 'behind' : 'ahead of'} this one`
  const mend = 'Let NTP set both.'
  if (Math.abs(off) > CLOCK_FAULT_MS) return ABOUT.fault(says, mend)
  if (Math.abs(off) > CLOCK_NOTE_MS) return ABOUT.note(says, mend)
  return ABOUT.ok(`the store's clock${where} agrees with this one`)
}

async function examinePersistence(
  node: Redis,
  info: Info,
  where: string,
  allowVolatile: boolean,
): Promise<Finding[]> {
  const config = await readConfig(node, ['save', 'appendfsync'])
  const found: Finding[] = []
  if (!config) {
    found.push(
      ABOUT.note(
        `CONFIG GET is not allowed${where}, so that snapshots and fsync cannot be seen`,
        'By hand: redis-cli CONFIG GET save, redis-cli CONFIG GET appendfsync.',
      ),
    )
  }
  if (info.aof_enabled === '1') {
    found.push(examineAppendOnlyFile(info, config, where))
  } else if (config?.save) {
    const says = `snapshots are written, no append-only file${where}: a crash loses what came after the last`
    found.push(ABOUT.note(says, 'redis-cli CONFIG SET appendonly yes, and in redis.conf.'))
  } else if (config) {
    const says = `nothing is written to disk${where}: a restart of Redis ends every session, and loses users and clients`
    found.push(
      allowVolatile
        ? ABOUT.note(says)
        : ABOUT.fault(says, 'Set appendonly yes; or give --allow-volatile, if it is meant to be so.'),
    )
  } else {
    found.push(ABOUT.note(`there is no append-only file${where}`))
  }
  if (info.rdb_last_bgsave_status === 'err')
    found.push(ABOUT.fault(`the last snapshot failed${where}`, 'See the log of Redis, and the disk.'))
  return found
}

function examineAppendOnlyFile(info: Info, config: Info | undefined, where: string): Finding {
  if (info.aof_last_write_status === 'err')
    return ABOUT.fault(
      `the append-only file cannot be written${where}`,
      'See the log of Redis, and the disk.',
    )
  if (config?.appendfsync === 'no') {
    return ABOUT.note(
      `appendonly yes, appendfsync no${where}: a crash of the machine loses half a minute`,
      'everysec costs nearly nothing.',
    )
  }
  return ABOUT.ok(`appendonly yes${config ? `, appendfsync ${config.appendfsync}` : ''}${where}`)
}

function examineMemory(info: Info, where: string): Finding[] {
  const policy = info.maxmemory_policy
  const found = [
    policy === 'noeviction'
      ? ABOUT.ok(`maxmemory-policy noeviction${where}`)
      : ABOUT.fault(
          `maxmemory-policy ${policy}${where} drops sessions when memory runs out`,
          'Sessions are not a cache: redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf.',
        ),
  ]
  const used = Number(info.used_memory)
  const most = Number(info.maxmemory)
  if (most > 0) {
    const says = `${Math.round((100 * used) / most)} % of maxmemory is used${where}`
    const mend = 'Raise maxmemory: when it is used up sign-ins get 503.'
    if (used > MEMORY_FAULT * most) found.push(ABOUT.fault(says, mend))
    else found.push(used > MEMORY_NOTE * most ? ABOUT.note(says, mend) : ABOUT.ok(says))
  }
  return found
}

function examineReplication(node: Redis, info: Info, where: string, waitReplicas: number): Finding[] {
  const found: Finding[] = []
  if (info.role === 'slave') {
    found.push(
      ABOUT.fault(
        `it is a replica${where}, which takes no writes`,
        'Name the primary, or use redis-sentinel://.',
      ),
    )
  }
  if (info.cluster_enabled === '1' && node.options.db !== undefined && where === '') {
    found.push(ABOUT.fault('it is a node of a Redis Cluster', 'Use redis-cluster:// in STORE_URL.'))
  }
  const replicas = Number(info.connected_slaves ?? 0)
  if (replicas < waitReplicas) {
    found.push({
      ...ABOUT.fault(
        `${replicas} replicas are connected${where}, and every sign-in waits for ${waitReplicas}`,
        'Start the replicas, or lower REDIS_WAIT_REPLICAS: until then sign-ins get 503.',
      ),
      subject: 'REDIS_WAIT_REPLICAS',
    })
  } else if (replicas > 0) {
    found.push(ABOUT.ok(`${replicas} replicas are connected${where}`))
  }
  return found
}

async function examineCluster(nodes: readonly Redis[]): Promise<Finding[]> {
  const [first] = nodes
  if (!first) return []
  const info = membersOf(String(await first.cluster('INFO')))
  const says = `cluster state ${info.cluster_state}, ${info.cluster_slots_ok} of ${CLUSTER_SLOTS} slots are served`
  const isWell = info.cluster_state === 'ok' && Number(info.cluster_slots_ok) === CLUSTER_SLOTS
  return [isWell ? ABOUT.ok(says) : ABOUT.fault(says, 'See: redis-cli --cluster check HOST:PORT.')]
}

type Info = Readonly<Record<string, string>>

/** The lines `name:value` of INFO and of CLUSTER INFO. */
function membersOf(text: string): Info {
  return Object.fromEntries(
    [...text.matchAll(/^([a-z_0-9]+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]),
  )
}

/** @returns `undefined` where this user may not, as with most hosted ones. */
async function readConfig(node: Redis, names: readonly string[]): Promise<Info | undefined> {
  try {
    const pairs: [string, string][] = []
    for (const name of names) {
      const reply: unknown = await node.call('CONFIG', 'GET', name)
      // A flat list in RESP2, a map in RESP3.
      const value = Array.isArray(reply)
        ? reply[1]
        : reply instanceof Map
          ? reply.get(name)
          : (reply as Info | null)?.[name]
      pairs.push([name, String(value ?? '')])
    }
    return Object.fromEntries(pairs)
  } catch {
    return undefined
  }
}
