import { type ChainableCommander, Cluster, Redis, type RedisOptions } from 'ioredis'
import { answersWithin } from '../in-time.ts'
import type { StoreLocation } from '../location.ts'
import { type Commands, SCRIPTS, type Value } from './commands.ts'
import { gatherWrites } from './gather-writes.ts'

export type RedisLocation = Exclude<StoreLocation, { kind: 'lmdb' }>
export type RedisClient = Redis & Commands

/** Time for each answer of the store: a request asks twice or so, and is itself to be answered within a second. */
const ANSWER_MS = 400
const CONNECT_MS = 800
/**
 * A connection on which nothing comes back for this long is given up, with all that waits on it. One that was made just
 * before a network came to itself again may be dead for good: with what follows this must stay well below two seconds.
 */
const SILENCE_MS = 1000
const RECONNECT_MS = 250
/** Keys looked at for one batch of a scan. */
const SCAN_COUNT = 1000

/** What the rest of this folder sees of Redis. */
export interface Connection {
  /** @throws {UnavailableError} when there is no answer in time, for whatever reason. */
  ask<T>(question: (redis: RedisClient) => Promise<T>): Promise<T>
  /** As `ask`, for one write, and resolves only when as many replicas as were asked for have it. */
  durably<T>(write: (redis: RedisClient) => Promise<T>): Promise<T>
  /** Every key of this pattern, in batches; those that come or go meanwhile may be missed, or come twice. */
  scan(pattern: string): AsyncIterable<string[]>
  /** As `durably`, for writes to keys in whichever slots, which go out together. */
  durablyMany<T>(writes: readonly ((redis: RedisClient) => Promise<T>)[]): Promise<T[]>
  close(): Promise<void>
}

/** Told when the store is lost and when it is back. */
export type OnStoreChange = (state: 'reachable' | 'unreachable', reason?: string) => void

export interface RedisSettings {
  /** Replicas that must have a sign-in, a revocation or an account change before it is answered. 0 for none. */
  readonly waitReplicas: number
  readonly onChange: OnStoreChange
}

export function connect(location: RedisLocation, { waitReplicas, onChange }: RedisSettings): Connection {
  const redis = clientOf(location)
  // WAIT holds up its connection, so it has one of its own.
  const writer = waitReplicas > 0 ? clientOf(location) : redis
  const clients = new Set([redis, writer])
  let isClosed = false
  // A store that was left is not one that was lost.
  report(redis, (state, reason) => !isClosed && onChange(state, reason))
  if (writer !== redis) writer.on('error', () => undefined)
  // ioredis gives up for good when it hears of a failover just while it asks the sentinels where the primary is.
  for (const client of clients)
    client.on('end', () => {
      const again = () => {
        if (!isClosed) client.connect().catch(() => undefined)
      }
      setTimeout(again, RECONNECT_MS).unref()
    })

  const inTime = answersWithin(ANSWER_MS)
  const gather = gatherWrites(redis)

  /** Sends writes together, and waits for the replicas once, where it is to. */
  async function written<T>(writes: readonly ((redis: RedisClient) => Promise<T>)[]): Promise<T[]> {
    // A pipeline takes the same commands as a client, and holds them back.
    const pipeline = writer.pipeline()
    if (waitReplicas > 0) sendScriptsWhole(pipeline)
    for (const write of writes) void write(pipeline as unknown as RedisClient)
    if (waitReplicas > 0) pipeline.wait(waitReplicas, ANSWER_MS / 2)
    const answers = (await pipeline.exec()) ?? []
    const failure = answers.find(([error]) => error)?.[0]
    if (failure) {
      lookWhereSlotsAre(writer, failure)
      throw failure
    }
    const results = answers.map(([, result]) => result as T)
    if (waitReplicas > 0 && Number(results.pop()) < waitReplicas)
      throw new Error(`it is written, but fewer than ${waitReplicas} replicas have it`)
    return results
  }

  const durably = <T>(write: (redis: RedisClient) => Promise<T>) =>
    inTime(async () => (waitReplicas > 0 ? (await written([write]))[0]! : write(redis)))

  return {
    ask: (question) =>
      inTime(() => {
        gather()
        return question(redis)
      }),
    durably,
    durablyMany: (writes) =>
      // What a cluster takes together is of one node.
      location.kind === 'redis-cluster' ? Promise.all(writes.map(durably)) : inTime(() => written(writes)),
    async *scan(pattern) {
      for (const node of nodesOf(redis)) {
        for (let cursor = '0', isFirst = true; isFirst || cursor !== '0'; isFirst = false) {
          const [next, keys] = await inTime(() => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT))
          cursor = next
          yield keys
        }
      }
    },
    async close() {
      isClosed = true
      for (const client of clients) client.disconnect()
    },
  }
}

/** A connection of its own, for the caller to end. */
export function clientOf(location: RedisLocation): RedisClient {
  const common = {
    ...(location.username !== undefined && { username: location.username }),
    ...(location.password !== undefined && { password: location.password }),
    ...(location.tls && { tls: {} }),
    connectionName: 'pawl',
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    // A command whose answer was lost may have run. The client asks again and is told the same; we do not.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // With no connection the answer is no, at once, and not a place in a queue.
    enableOfflineQueue: false,
    retryStrategy: () => RECONNECT_MS,
    // After a failover the old primary is still connected, as a replica. Redis 6 says so in the middle of a script's error.
    reconnectOnError: (error: Error) => /(?:^|-)(?:READONLY|MASTERDOWN)\b/.test(error.message),
  } satisfies RedisOptions
  switch (location.kind) {
    case 'redis':
      return new Redis({
        ...common,
        host: location.host,
        port: location.port,
        db: location.db,
        scripts: SCRIPTS,
      }) as RedisClient
    case 'redis-sentinel':
      return new Redis({
        ...common,
        sentinels: [...location.sentinels],
        name: location.name,
        db: location.db,
        ...(location.sentinelPassword !== undefined && { sentinelPassword: location.sentinelPassword }),
        ...(location.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
        sentinelRetryStrategy: () => RECONNECT_MS,
        // Otherwise one that accepts connections and says nothing is waited for without end.
        // It counts from before there is a connection.
        sentinelCommandTimeout: CONNECT_MS + ANSWER_MS,
        failoverDetector: true,
        scripts: SCRIPTS,
      }) as RedisClient
    case 'redis-cluster': {
      const { retryStrategy: _, enableOfflineQueue: __, ...redisOptions } = common
      const cluster = new Cluster([...location.nodes], {
        redisOptions,
        enableOfflineQueue: false,
        clusterRetryStrategy: () => RECONNECT_MS,
        slotsRefreshTimeout: CONNECT_MS,
        // A tenth of a second each: not for longer than somebody waits for the answer.
        maxRedirections: 4,
        // Otherwise ioredis sends a command again whose answer was lost with its connection.
        retryDelayOnFailover: 0,
        scripts: SCRIPTS,
      })
      // Otherwise a node is connected to by its first command, and commands that come meanwhile are refused.
      cluster.on('+node', (node: Redis) => {
        void node.connect().catch(() => undefined)
        // ioredis asks this before a command for a slot that is moving, and looks at the command's answer alone: when the
        // node falls silent nobody hears this one fail, and the process ends. A test holds it, should ioredis change.
        const asking = node.asking.bind(node)
        node.asking = async () => asking().catch(() => 'OK')
      })
      return cluster as unknown as RedisClient
    }
  }
}

/**
 * Lets scripts go with their text. ioredis names them by their digests, and sends again what the server does not know:
 * that would run after the WAIT, which had then waited for nothing.
 */
function sendScriptsWhole(pipeline: ChainableCommander): void {
  for (const [name, { lua, numberOfKeys }] of Object.entries(SCRIPTS)) {
    const keys = numberOfKeys === undefined ? [] : [numberOfKeys]
    const whole = (...keysAndArgs: Value[]) => pipeline.call('eval', lua, ...keys, ...keysAndArgs)
    Object.assign(pipeline, { [name]: whole })
  }
}

/** ioredis follows a slot that has moved with a command, but not with a pipeline in which another command did well: WAIT. */
function lookWhereSlotsAre(redis: Redis | Cluster, { message }: Error): void {
  if (redis instanceof Cluster && message.startsWith('MOVED ')) redis.refreshSlotsCache()
}

/** The servers that hold the keys between them. */
function nodesOf(redis: Redis | Cluster): readonly Redis[] {
  return redis instanceof Cluster ? redis.nodes('master') : [redis]
}

function report(redis: RedisClient, onChange: OnStoreChange): void {
  let state: 'reachable' | 'unreachable' | undefined
  let reason: string | undefined
  const become = (next: 'reachable' | 'unreachable') => {
    if (state === next) return
    state = next
    onChange(next, next === 'unreachable' ? reason : undefined)
  }
  redis.on('ready', () => become('reachable'))
  redis.on('close', () => become('unreachable'))
  // Without a listener an error event would end the process.
  redis.on('error', (error: NodeJS.ErrnoException) => {
    reason = error.code ?? error.message
    become('unreachable')
  })
}
