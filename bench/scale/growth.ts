import { statSync } from 'node:fs'
import { join } from 'node:path'
import { userLocator } from '../../src/accounts/user.ts'
import type { Store } from '../../src/stores/contract.ts'
import { familyIdOf } from '../../src/tokens/refresh-token.ts'
import { type RedisServer, startRedis } from '../../test/support/redis.ts'
import { eachCore } from '../cores.ts'
import { quantile } from '../statistics.ts'
import { Chains } from './chains.ts'
import { advance, newSession, populate, type Session, signIn, tokensOf } from './population.ts'
import { cpuOf, newSetting, type Setting, workersOf } from './setting.ts'

export interface GrowthSettings {
  /** How many families there are at each measurement, ascending. */
  readonly families: Readonly<Record<'redis' | 'lmdb', readonly number[]>>
  readonly operations: number
  readonly seconds: number
}

export const OPERATIONS = ['refresh', 'list', 'sign-in', 'revoke', 'refresh over HTTP'] as const
export type Operation = (typeof OPERATIONS)[number]

/** What one operation costs at one size. */
export interface CostFigures {
  readonly operation: Operation
  /** Processor time of this process, or of the server over HTTP, and of Redis. */
  readonly cpuMicroseconds: number
  /** Of these, Redis's. */
  readonly redisMicroseconds: number
  readonly p50Ms: number
}

export interface GrowthFigures {
  readonly store: 'Redis' | 'LMDB'
  readonly sizes: readonly {
    readonly families: number
    readonly fillSeconds: number
    /** Memory of Redis, or the size of LMDB's file. */
    readonly storeBytes: number
    readonly costs: readonly CostFigures[]
  }[]
}

/** So many of one kind of operation are under way at a time. */
const AT_ONCE = 16
/** Sessions that refresh over HTTP in turn, so that no record is warm because it was just read. */
const HTTP_SESSIONS = 4000

/** Sessions that the programs are warmed up with: the first thousands of operations cost several times as much. */
const WARMING = 400

/** What each operation costs as the store holds ever more families, ten for each user. */
export async function measureGrowth(
  settings: GrowthSettings,
  progress: (line: string) => void,
): Promise<GrowthFigures[]> {
  const figures: GrowthFigures[] = []
  for (const kind of ['redis', 'lmdb'] as const) {
    const setting = await newSetting()
    try {
      const redis = kind === 'redis' ? await startRedis({ aof: 'everysec' }) : undefined
      setting.atEnd(() => redis?.stop())
      figures.push(await measureStore(setting, redis, settings.families[kind], settings, progress))
    } finally {
      await setting.end()
    }
  }
  return figures
}

async function measureStore(
  setting: Setting,
  redis: RedisServer | undefined,
  sizes: readonly number[],
  { operations, seconds }: GrowthSettings,
  progress: (line: string) => void,
): Promise<GrowthFigures> {
  const url = redis?.url ?? `lmdb:${join(setting.folder, 'data')}`
  const name = redis ? 'Redis' : 'LMDB'
  const store = await setting.open(url)
  const server = await setting.serve(url, {}, eachCore()[0])
  const serverPids = () => [server.pid, ...workersOf(server)]
  const redisPids = redis ? [redis.pid] : []
  const measured: GrowthFigures['sizes'][number][] = []
  const warm = await populate(store, WARMING, WARMING)
  await costsInStore(store, redisPids, warm.slice(0, WARMING / 2), 2 * operations)
  const warming = await Chains.start([server.url], await tokensOf(warm.slice(WARMING / 2), setting.keysDir))
  await warming.run(AT_ONCE, seconds)
  warming.stop()
  let there = WARMING
  let kept: Session[] = []
  for (const families of sizes) {
    const begun = performance.now()
    // Of all that there are now an even sample: those from before, thinned out, and some of the new ones.
    const added = await populate(store, families - there, HTTP_SESSIONS + operations)
    kept = [...evenly(kept, there / families), ...added]
    there = families
    const fillSeconds = (performance.now() - begun) / 1000
    const storeBytes = redis
      ? Number(/^used_memory:(\d+)/m.exec(String(await redis.cli('INFO', 'memory')))?.[1])
      : statSync(join(setting.folder, 'data', 'data.mdb')).size
    const shuffled = shuffle(kept)
    const half = Math.floor(shuffled.length / 2)
    const [here, overHttp] = [shuffled.slice(0, half), shuffled.slice(half, half + HTTP_SESSIONS)]
    const costs = await costsInStore(store, redisPids, here, operations)

    const tokens = await tokensOf(overHttp, setting.keysDir)
    const chains = await Chains.start([server.url], tokens)
    await chains.run(AT_ONCE, 0.5)
    const before = [cpuOf(serverPids()), cpuOf(redisPids)] as const
    const { refreshes, p50Ms, lost } = await chains.run(AT_ONCE, seconds)
    const after = [cpuOf(serverPids()), cpuOf(redisPids)] as const
    chains.stop()
    if (lost.length > 0) throw new Error(`a session was lost: ${lost[0]}`)
    const redisMicroseconds = (after[1] - before[1]) / refreshes
    costs.push({
      operation: 'refresh over HTTP',
      cpuMicroseconds: (after[0] - before[0]) / refreshes + redisMicroseconds,
      redisMicroseconds,
      p50Ms,
    })
    // Their records have moved on, by as much as nobody counted.
    const gone = new Set(overHttp)
    kept = kept.filter((session) => !gone.has(session))
    measured.push({ families, fillSeconds, storeBytes, costs })
    const line = costs.map((cost) => `${cost.operation} ${Math.round(cost.cpuMicroseconds)} µs`).join(', ')
    progress(`${name}, ${families} families (in ${fillSeconds.toFixed(1)} s): ${line}`)
  }
  return { store: name, sizes: measured }
}

async function costsInStore(
  store: Store,
  redisPids: readonly number[],
  sessions: readonly Session[],
  operations: number,
): Promise<CostFigures[]> {
  const costs: CostFigures[] = []
  async function measure(
    operation: Operation,
    items: readonly Session[],
    work: (session: Session) => Promise<unknown>,
  ) {
    const times: number[] = []
    const cpu = process.cpuUsage()
    const redisBefore = cpuOf(redisPids)
    let next = 0
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < items.length) {
          const begun = performance.now()
          await work(items[next++]!)
          times.push(performance.now() - begun)
        }
      }),
    )
    const { user, system } = process.cpuUsage(cpu)
    const redisMicroseconds = (cpuOf(redisPids) - redisBefore) / items.length
    times.sort((a, b) => a - b)
    costs.push({
      operation,
      cpuMicroseconds: (user + system) / items.length + redisMicroseconds,
      redisMicroseconds,
      p50Ms: quantile(times, 0.5),
    })
  }
  const some = Array.from({ length: operations }, (_, i) => sessions[i % sessions.length]!)
  // A session of the sample comes round again only after all others: two steps of one at a time would meet.
  await measure('refresh', some, (session) => advance(store, session))
  // Before anybody signs in again: where there are few users, these would soon have more sessions than elsewhere.
  await measure('list', some, ({ user }) => store.families.listOfUser(userLocator(user.sub), 100))
  const begun = some.map(({ user }) => newSession(user))
  await measure('sign-in', begun, (session) => signIn(store, session))
  // Those that were just begun, so that there are as many as before.
  await measure('revoke', begun, ({ handle }) => store.families.revoke(familyIdOf(handle), 'operator'))
  return costs
}

function evenly<T>(items: readonly T[], share: number): T[] {
  return items.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share))
}

function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items]
  for (let i = shuffled.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
  }
  return shuffled
}
