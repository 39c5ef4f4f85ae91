import { join } from 'node:path'
import { startCluster, startRedis, startSentinel } from '../../test/support/redis.ts'
import { type Cores, eachCore } from '../cores.ts'
import type { BenchServer } from '../server.ts'
import { type SignRate, signRateMeter } from '../sign-rate.ts'
import { type Spread, spreadOf } from '../statistics.ts'
import { Chains } from './chains.ts'
import type { ChainsFigures } from './chains-process.ts'
import { populate, tokensOf } from './population.ts'
import { cpuOf, newSetting, type Setting, workersOf } from './setting.ts'

export interface CoresSettings {
  readonly rounds: number
  readonly seconds: number
}

const SESSIONS = 640
const AT_ONCE = 64

/** What one arrangement of servers and store does with one population of sessions. */
export interface ArrangementFigures {
  readonly name: string
  readonly refreshesPerSecond: Spread
  /** To the signatures of all cores together in the same round, both by the clock on the wall. */
  readonly ratio: Spread
  /** Processor time of a signature to that of a refresh, everything counted: servers, store and load. */
  readonly cpuRatio: Spread
  /** Processor time per refresh. */
  readonly serverMicroseconds: Spread
  readonly storeMicroseconds: Spread
  readonly loadMicroseconds: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
  readonly refreshes: number
  /** Answers that were no tokens. */
  readonly errors: number
}

export interface ManyCoresFigures extends CoresSettings {
  readonly cores: number
  readonly signing: string
  /** Of all cores at the same time. */
  readonly signaturesPerSecond: Spread
  readonly signatureMicroseconds: Spread
  readonly arrangements: readonly ArrangementFigures[]
}

interface Arrangement {
  readonly name: string
  readonly chains: Chains
  serverPids(): readonly number[]
  readonly storePids: readonly number[]
}

interface Round extends ChainsFigures {
  readonly signing: SignRate
  readonly serverCpu: number
  readonly storeCpu: number
}

/** Every arrangement in every round, because the machine drifts. Load and store run on the servers' cores too. */
export async function measureManyCores(
  settings: CoresSettings,
  progress: (line: string) => void,
): Promise<ManyCoresFigures> {
  const { rounds, seconds } = settings
  const cores = eachCore()
  const meters = cores.map((core) => signRateMeter(core, seconds))
  const setting = await newSetting()
  try {
    const arrangements = await arrange(setting, cores)
    for (const { chains } of arrangements) await chains.run(AT_ONCE, 1)
    const signings: SignRate[] = []
    const results = new Map<Arrangement, Round[]>(arrangements.map((arrangement) => [arrangement, []]))
    for (let round = 1; round <= rounds; round += 1) {
      const signing = together(await Promise.all(meters.map((meter) => meter.measure())))
      signings.push(signing)
      progress(`round ${round} of ${rounds}: ${Math.round(signing.perSecond)} signatures/s`)
      for (const [arrangement, all] of results) {
        all.push({ ...(await runOnce(arrangement, seconds)), signing })
        progress(`  ${arrangement.name}: ${Math.round(all.at(-1)!.requestsPerSecond)}/s`)
      }
    }
    return {
      ...settings,
      cores: cores.length,
      signing: meters[0]!.name,
      signaturesPerSecond: spreadOf(signings.map(({ perSecond }) => perSecond)),
      signatureMicroseconds: spreadOf(signings.map(({ cpuMicroseconds }) => cpuMicroseconds)),
      arrangements: [...results].map(([{ name }, all]) => figuresOf(name, all)),
    }
  } finally {
    await setting.end()
  }
}

async function arrange(setting: Setting, cores: readonly Cores[]): Promise<Arrangement[]> {
  const redis = await startRedis({ aof: 'everysec' })
  setting.atEnd(() => redis.stop())
  const cluster = await startCluster()
  setting.atEnd(() => cluster.stop())
  const sentinel = await startSentinel()
  setting.atEnd(() => sentinel.stop())
  const one = cores[0]!
  const other = cores[1] ?? one
  const workers = { WORKERS: String(cores.length) }
  const lmdb = (name: string) => `lmdb:${join(setting.folder, name)}`
  const clusterPids = cluster.nodes.map(({ pid }) => pid)
  const sentinelPids = [...sentinel.servers, ...sentinel.sentinels].map(({ pid }) => pid)

  const arrangements: Arrangement[] = []
  async function add(
    name: string,
    url: string,
    storePids: readonly number[],
    servers: readonly (readonly [Readonly<Record<string, string>>, Cores?])[],
  ): Promise<void> {
    const store = await setting.open(url)
    const tokens = await tokensOf(await populate(store, SESSIONS, SESSIONS), setting.keysDir)
    const running: BenchServer[] = []
    for (const [more, where] of servers) running.push(await setting.serve(url, more, where))
    const urls = running.map(({ url }) => url)
    const chains = await Chains.start(urls, tokens)
    setting.atEnd(() => chains.stop())
    const serverPids = () => running.flatMap((server) => [server.pid, ...workersOf(server)])
    arrangements.push({ name, chains, serverPids, storePids })
  }
  await add('one process on one core, Redis', redis.url, [redis.pid], [[{}, one]])
  await add(`WORKERS=${cores.length}, Redis`, redis.url, [redis.pid], [[workers]])
  await add(
    'two servers, each on a core, one Redis',
    redis.url,
    [redis.pid],
    [
      [{}, one],
      [{}, other],
    ],
  )
  await add('two servers, not pinned, one Redis', redis.url, [redis.pid], [[{}], [{}]])
  await add('two servers, each on a core, Redis Cluster of 3', cluster.url, clusterPids, [
    [{}, one],
    [{}, other],
  ])
  await add('two servers, each on a core, Sentinel with 2 replicas', sentinel.url, sentinelPids, [
    [{}, one],
    [{}, other],
  ])
  await add('one process on one core, LMDB', lmdb('one'), [], [[{}, one]])
  await add(`WORKERS=${cores.length}, LMDB`, lmdb('several'), [], [[workers]])
  return arrangements
}

async function runOnce(
  { chains, serverPids, storePids }: Arrangement,
  seconds: number,
): Promise<Omit<Round, 'signing'>> {
  const [serverBefore, storeBefore] = [cpuOf(serverPids()), cpuOf(storePids)]
  const figures = await chains.run(AT_ONCE, seconds)
  return {
    ...figures,
    serverCpu: cpuOf(serverPids()) - serverBefore,
    storeCpu: cpuOf(storePids) - storeBefore,
  }
}

/** What several cores sign at the same time. */
function together(rates: readonly SignRate[]): SignRate {
  const sum = (figure: (rate: SignRate) => number) => rates.reduce((total, rate) => total + figure(rate), 0)
  return {
    perSecond: sum(({ perSecond }) => perSecond),
    cpuMicroseconds: sum(({ cpuMicroseconds }) => cpuMicroseconds) / rates.length,
  }
}

function figuresOf(name: string, rounds: readonly Round[]): ArrangementFigures {
  const over = (figure: (round: Round) => number) => spreadOf(rounds.map(figure))
  const total = (figure: (round: Round) => number) => rounds.reduce((sum, round) => sum + figure(round), 0)
  return {
    name,
    refreshesPerSecond: over(({ requestsPerSecond }) => requestsPerSecond),
    ratio: over(({ requestsPerSecond, signing }) => requestsPerSecond / signing.perSecond),
    cpuRatio: over(
      ({ serverCpu, storeCpu, cpuMicroseconds, refreshes, signing }) =>
        (signing.cpuMicroseconds * refreshes) / (serverCpu + storeCpu + cpuMicroseconds),
    ),
    serverMicroseconds: over(({ serverCpu, refreshes }) => serverCpu / refreshes),
    storeMicroseconds: over(({ storeCpu, refreshes }) => storeCpu / refreshes),
    loadMicroseconds: over(({ cpuMicroseconds, refreshes }) => cpuMicroseconds / refreshes),
    p50Ms: over(({ p50Ms }) => p50Ms),
    p99Ms: over(({ p99Ms }) => p99Ms),
    refreshes: total(({ refreshes }) => refreshes),
    errors: total(({ lost, troubles, unfinished }) => lost.length + troubles + unfinished),
  }
}
