import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RedisServer, serverArguments } from './redis-server.ts'
import { until } from './until.ts'

const NAME = 'mymaster'
/** Sentinels take seconds to tell a primary that comes back what it is now, and more on a busy machine. */
const IN_STEP_MS = 60_000

/** One primary, two replicas, and three sentinels that watch them. */
export interface RedisSentinel {
  /** `redis-sentinel://…/mymaster`, the addresses those of the sentinels. */
  url: string
  /** The three data servers, whatever their roles are now. */
  servers: RedisServer[]
  sentinels: RedisServer[]
  /** The data server that the sentinels name as primary now. */
  primary(): Promise<RedisServer>
  /** Has the sentinels promote a replica; returns the new primary when every sentinel and server has followed. */
  failover(): Promise<RedisServer>
  /** Waits until the sentinels have promoted another one than this. */
  successorOf(primary: RedisServer): Promise<RedisServer>
  /** Waits until every server but the primary follows it. */
  inStep(): Promise<unknown>
  stop(): Promise<void>
}

export interface SentinelSettings {
  /** How long a primary must be silent before the sentinels take it for dead. */
  downAfterMs?: number
  /** Whether a server that is killed and comes back has what it had. */
  aof?: boolean
}

/** Starts a Sentinel deployment of the test's own. */
export async function startSentinel({
  downAfterMs = 2_000,
  aof = false,
}: SentinelSettings = {}): Promise<RedisSentinel> {
  const primary = await startDataServer(aof)
  const replicas = await Promise.all([1, 2].map(() => startDataServer(aof, primary.port)))
  const servers = [primary, ...replicas]
  // A sentinel learns of replicas when it first sees the primary, and then only every ten seconds.
  await until('both replicas are in step', () => everyServerFollows(servers, primary))
  const sentinels = await Promise.all([1, 2, 3].map(() => startOneSentinel(primary.port, downAfterMs)))
  await Promise.all(sentinels.map(hurry))
  await until('the sentinels know each other and the replicas', async () => {
    const views = await Promise.all(sentinels.map(viewOf))
    return views.every((view) => view.get('num-slaves') === '2' && view.get('num-other-sentinels') === '2')
  })

  async function currentPrimary(): Promise<RedisServer> {
    const ports = await Promise.all(sentinels.map(async (sentinel) => (await viewOf(sentinel)).get('port')))
    const named = servers.find((server) => ports.every((port) => port === String(server.port)))
    if (!named) throw new Error(`the sentinels do not agree on a primary: ports ${ports.join(', ')}`)
    return named
  }

  return {
    url: `redis-sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    servers,
    sentinels,
    primary: currentPrimary,
    async failover() {
      const before = await currentPrimary()
      const [sentinel] = sentinels as [RedisServer]
      // Refused with NOGOODSLAVE as long as the sentinel has no fresh news of a replica.
      await until('a sentinel accepts the failover', () => sentinel.cli('SENTINEL', 'FAILOVER', NAME))
      return await until('the failover is complete', async () => {
        const after = await currentPrimary()
        return after !== before && (await everyServerFollows(servers, after)) && after
      })
    },
    successorOf: (primary) =>
      until('the sentinels name another primary', async () => {
        const after = await currentPrimary()
        return after !== primary && (await roleOf(after)) === 'master' && after
      }),
    inStep: () =>
      until(
        'every server follows',
        async () => everyServerFollows(servers, await currentPrimary()),
        IN_STEP_MS,
      ),
    async stop() {
      await Promise.all([...sentinels, ...servers].map((server) => server.stop()))
    },
  }
}

function startDataServer(aof: boolean, primaryPort?: number): Promise<RedisServer> {
  return RedisServer.start((port, dir) => {
    const args = [...serverArguments(port, dir), '--repl-diskless-sync-delay', '0']
    if (aof) args.push('--appendonly', 'yes')
    if (primaryPort !== undefined) args.push('--replicaof', '127.0.0.1', String(primaryPort))
    return { args }
  })
}

function startOneSentinel(primaryPort: number, downAfterMs: number): Promise<RedisServer> {
  return RedisServer.start(async (port, dir) => {
    // A sentinel keeps its state in its configuration file, so it must be one that it can write.
    const file = join(dir, 'sentinel.conf')
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
      `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
      // Twice this passes between two attempts.
      `sentinel failover-timeout ${NAME} 3000`,
    ]
    await writeFile(file, `${lines.join('\n')}\n`)
    return { args: [file, '--sentinel'] }
  })
}

/** Makes a sentinel look and tell more often than every ten and two seconds; before Redis 7 all takes so much longer. */
async function hurry(sentinel: RedisServer): Promise<void> {
  const periods = ['INFO-PERIOD', 500, 'PUBLISH-PERIOD', 500]
  await sentinel.cli('SENTINEL', 'DEBUG', ...periods).catch(() => {})
}

async function viewOf(sentinel: RedisServer): Promise<Map<string, string>> {
  const flat = (await sentinel.cli('SENTINEL', 'MASTER', NAME)) as string[]
  const pairs = flat.flatMap((name, index) =>
    index % 2 === 0 ? [[name, flat[index + 1] ?? ''] as const] : [],
  )
  return new Map(pairs)
}

async function roleOf(server: RedisServer): Promise<unknown> {
  const [role] = (await server.cli('ROLE')) as unknown[]
  return role
}

/** Whether `primary` is one, and a write to it is on all other servers within a second. */
async function everyServerFollows(servers: RedisServer[], primary: RedisServer): Promise<boolean> {
  const client = primary.client({ retryStrategy: null })
  client.on('error', () => {})
  try {
    // Only a write tells. Both sides call a new replica connected up to a second before the primary streams to it, and
    // a replica that is promoted in that second has lost all that was written meanwhile.
    await client.set('pawl-test-probe', '')
    const followers = await client.wait(servers.length - 1, 1_000)
    await client.del('pawl-test-probe')
    return followers === servers.length - 1
  } finally {
    client.disconnect()
  }
}
