import { USERNAMES_KEY } from '../../src/stores/redis/keys.ts'
import { type RedisServer, startRedis } from '../../test/support/redis.ts'
import { CLIENT, USER_AGENT } from '../registration.ts'
import { Connection } from './connection.ts'
import { newUser, populate, tokensOf } from './population.ts'
import { newSetting } from './setting.ts'

/** What is counted rather than timed, and so is the same on a busy machine. All are averages. */
export interface ConstantFigures {
  readonly sample: number
  readonly requestBytes: number
  readonly answerBytes: number
  /** From the server to Redis and back, per refresh. */
  readonly toRedisBytes: number
  readonly fromRedisBytes: number
  /** What a refresh appends to Redis's log, and so to what replicas are sent. */
  readonly aofBytes: number
  /** Redis's own account of how long a refresh's script runs. */
  readonly scriptMicroseconds: number
  /** Memory of Redis per user of the built-in directory, without sessions. */
  readonly userBytes: number
  /** Of that, the user's entry in the one hash of all user names. */
  readonly usernameBytes: number
}

const REFRESHES = 2000
const USERS = 5000

/** The constants that docs/scaling.md reckons with. */
export async function measureConstants(): Promise<ConstantFigures> {
  const setting = await newSetting()
  try {
    const redis = await startRedis({ aof: 'everysec' })
    setting.atEnd(() => redis.stop())
    const store = await setting.open(redis.url)
    const before = await infoOf(redis)
    const users = Array.from({ length: USERS }, newUser)
    for (let at = 0; at < USERS; at += 500) await store.users.createMany(users.slice(at, at + 500))
    const userBytes = ((await infoOf(redis)).memory - before.memory) / USERS
    const usernames = Number(await redis.cli('MEMORY', 'USAGE', USERNAMES_KEY, 'SAMPLES', 0))

    let [token] = await tokensOf(await populate(store, 1, 1), setting.keysDir)
    const server = await setting.serve(redis.url)
    const connection = new Connection(server.url, USER_AGENT)
    const refresh = async () => {
      const form = `grant_type=refresh_token&client_id=${CLIENT.clientId}&refresh_token=${token}`
      const { status, body } = await connection.post(form)
      if (status !== 200) throw new Error(`status ${status}: ${body}`)
      token = (JSON.parse(body) as { refresh_token: string }).refresh_token
    }
    await refresh()
    await redis.cli('CONFIG', 'RESETSTAT')
    const from = { ...(await infoOf(redis)), sent: connection.bytesSent, received: connection.bytesReceived }
    for (let i = 0; i < REFRESHES; i += 1) await refresh()
    const to = await infoOf(redis)
    const { bytesSent, bytesReceived } = connection
    connection.close()
    const each = (total: number) => total / REFRESHES
    return {
      sample: REFRESHES,
      requestBytes: each(bytesSent - from.sent),
      answerBytes: each(bytesReceived - from.received),
      toRedisBytes: each(to.input - from.input),
      fromRedisBytes: each(to.output - from.output),
      aofBytes: each(to.aof - from.aof),
      scriptMicroseconds: to.script,
      userBytes,
      usernameBytes: usernames / USERS,
    }
  } finally {
    await setting.end()
  }
}

async function infoOf(redis: RedisServer) {
  const text = String(await redis.cli('INFO', 'everything'))
  const number = (name: RegExp) => Number(name.exec(text)?.[1] ?? Number.NaN)
  return {
    memory: number(/^used_memory:(\d+)/m),
    input: number(/^total_net_input_bytes:(\d+)/m),
    output: number(/^total_net_output_bytes:(\d+)/m),
    aof: number(/^aof_current_size:(\d+)/m),
    script: number(/^cmdstat_evalsha:.*usec_per_call=([\d.]+)/m),
  }
}
