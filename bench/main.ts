import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SIGNING_ALGS } from '../src/tokens/signing-key.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { prepareAccounts } from './accounts.ts'
import {
  type AlgorithmServer,
  type AlgorithmsFigures,
  type AlgorithmsSettings,
  algorithmsReportOf,
  measureAlgorithms,
} from './algorithms.ts'
import { assignCores, type Cores } from './cores.ts'
import { measureFamilyMemory } from './family-memory.ts'
import { type FloodFigures, type FloodSettings, floodReportOf, measureFlood } from './flood.ts'
import { Load } from './load.ts'
import { measureProfiles, profileReportOf } from './profile.ts'
import { AT_ONCE, type RoundSettings, type RoundsFigures, runRounds } from './refresh-rounds.ts'
import { type Figures, memoryReportOf, reportOf } from './report.ts'
import { runScale, SCALE_PARTS, type ScalePart } from './scale/main.ts'
import { startServer } from './server.ts'
import { type SignRateMeter, signRateMeter } from './sign-rate.ts'
import { countCommands, type StoreCommands } from './store-commands.ts'
import { type Report, textOf } from './tables.ts'
import { writeReport } from './write-report.ts'

const USAGE = `npm run bench -- [--quick] [--json] [--write FOLDER] [--alg ALG] [--flood | --algorithms | --memory | --profile]
npm run bench -- --scale [--part PART]… [--most FAMILIES] [--quick] [--json] [--write FOLDER]

Measures chained refreshes on Redis and on the embedded store: docs/benchmarks/refresh.md.

  --quick         two short rounds, for a first look
  --alg ALG       the server's SIGNING_ALG; the ratios stay those to RSA signatures
  --flood         instead of that, how long refreshes take beside a flood of sign-ins
  --algorithms    instead of that, refreshes with each SIGNING_ALG and their ratio to those with RS256
  --memory        instead of that, what a family costs Redis
  --profile       instead of that, whose code a refresh spends its time in
  --scale         instead of that, several processes, kills under load, and growing stores: docs/benchmarks/scaling.md
  --part          of these only ${SCALE_PARTS.join(', ')}
  --most          no store of more families than that, instead of 1000000: a minute or two less
  --json          one JSON object on standard output instead of the table
  --write FOLDER  writes refresh.json, refresh-figures.md and the plots refresh-*.svg there as well; flood, algorithms,
                  memory and profile likewise; --scale puts its figures into the scaling.md that is there`

const FULL: RoundSettings = { rounds: 5, seconds: 4 }
const QUICK: RoundSettings = { rounds: 2, seconds: 2 }
const FULL_FLOOD: FloodSettings = { rounds: 5, seconds: 3, atOnce: 4 }
const QUICK_FLOOD: FloodSettings = { rounds: 3, seconds: 2, atOnce: 4 }
const FULL_ALGORITHMS: AlgorithmsSettings = { rounds: 5, seconds: 3, atOnce: 64 }
const QUICK_ALGORITHMS: AlgorithmsSettings = { rounds: 3, seconds: 2, atOnce: 64 }
/** Enough that no budget of one account ends the flood. */
const FLOOD_USERS = 2000
const FAMILIES = 2000
const ROTATIONS = [1, 10, 100]

const progress = (line: string) => process.stderr.write(`${line}\n`)

interface Bench {
  readonly cores: Cores
  readonly meter: SignRateMeter
  readonly settings: RoundSettings
  readonly alg: string
}

/** One server on one store: this Redis, or else a new LMDB. */
async function measureStore(bench: Bench, redis?: RedisServer) {
  const { cores, meter, settings, alg } = bench
  const folder = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const url = redis?.url ?? `lmdb:${join(folder, 'data')}`
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  try {
    const usernames = await prepareAccounts(url, Math.max(...AT_ONCE))
    const server = await startServer(cores, url, join(folder, 'keys'), { SIGNING_ALG: alg })
    undo.push(() => server.stop())
    const load = await Load.start(server.url, usernames)
    undo.push(() => load.stop())

    const setting = { cores, meter, load, serverPid: server.pid, storePid: redis?.pid, progress }
    const rounds = await runRounds(setting, settings)
    return { rounds, commands: redis && (await countCommands(redis, load)) }
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

async function measureRedis(
  bench: Bench,
): Promise<{ version: string; rounds: RoundsFigures; commands: StoreCommands }> {
  const redis = await startRedis({ aof: 'everysec' })
  try {
    const version =
      /^(?:redis|valkey)_version:(\S+)/m.exec(String(await redis.cli('INFO', 'server')))?.[1] ?? 'unknown'
    const { rounds, commands } = await measureStore(bench, redis)
    return { version, rounds, commands: commands! }
  } finally {
    await redis.stop()
  }
}

async function measureAll(settings: RoundSettings, alg: string): Promise<Figures> {
  const cores = assignCores()
  const meter = signRateMeter(cores, settings.seconds / 2)
  const bench = { cores, meter, settings, alg }
  progress('Redis')
  const redis = await measureRedis(bench)
  progress('LMDB')
  const lmdb = await measureStore(bench)
  progress('Redis memory')
  const familyMemory = await measureFamilyMemory(FAMILIES, ROTATIONS, progress)
  return {
    node: process.version,
    redisVersion: redis.version,
    processor: `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`,
    serverCore: cores.server ?? null,
    otherCores: cores.others,
    settings,
    signing: meter.name,
    redis: redis.rounds,
    lmdb: lmdb.rounds,
    storeCommands: redis.commands,
    familyMemory,
  }
}

/** One server on one Redis, and too many sign-ins. */
async function measureInFlood(settings: FloodSettings): Promise<FloodFigures> {
  const cores = assignCores()
  const folder = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  try {
    const redis = await startRedis({ aof: 'everysec' })
    undo.push(() => redis.stop())
    const usernames = await prepareAccounts(redis.url, FLOOD_USERS)
    const trust = { TRUST_PROXY: '127.0.0.1' }
    const server = await startServer(cores, redis.url, join(folder, 'keys'), trust)
    undo.push(() => server.stop())
    const load = await Load.start(server.url, usernames.slice(0, settings.atOnce))
    undo.push(() => load.stop())
    return await measureFlood({ url: server.url, usernames, load, progress }, settings)
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

/** A server for each algorithm, all on one Redis. */
async function measureEachAlgorithm(settings: AlgorithmsSettings): Promise<AlgorithmsFigures> {
  const cores = assignCores()
  const folder = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  try {
    const redis = await startRedis({ aof: 'everysec' })
    undo.push(() => redis.stop())
    const usernames = await prepareAccounts(redis.url, settings.atOnce)
    const servers: AlgorithmServer[] = []
    for (const alg of SIGNING_ALGS) {
      const server = await startServer(cores, redis.url, join(folder, alg), { SIGNING_ALG: alg })
      undo.push(() => server.stop())
      const load = await Load.start(server.url, usernames)
      undo.push(() => load.stop())
      servers.push({ alg, pid: server.pid, load })
    }
    return {
      ...settings,
      node: process.version,
      processor: `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`,
      algorithms: await measureAlgorithms(cores, servers, settings, progress),
    }
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

const { values } = parseArgs({
  options: {
    alg: { type: 'string', default: 'RS256' },
    algorithms: { type: 'boolean' },
    flood: { type: 'boolean' },
    memory: { type: 'boolean' },
    profile: { type: 'boolean' },
    scale: { type: 'boolean' },
    part: { type: 'string', multiple: true, default: [...SCALE_PARTS] },
    most: { type: 'string', default: '1000000' },
    quick: { type: 'boolean' },
    json: { type: 'boolean' },
    write: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(USAGE)
} else if (values.scale) {
  const { quick = false, json = false, write, part, most } = values
  console.log(
    await runScale({ parts: part as ScalePart[], quick, most: Number(most), json, write }, progress),
  )
} else if (values.flood) {
  const figures = await measureInFlood(values.quick ? QUICK_FLOOD : FULL_FLOOD)
  await tell(floodReportOf(figures), figures)
} else if (values.algorithms) {
  const figures = await measureEachAlgorithm(values.quick ? QUICK_ALGORITHMS : FULL_ALGORITHMS)
  await tell(algorithmsReportOf(figures), figures)
} else if (values.profile) {
  const settings = { seconds: values.quick ? 3 : 10, atOnce: 16 }
  const profiles = await measureProfiles(settings, progress)
  await tell(profileReportOf(profiles, settings), profiles)
} else if (values.memory) {
  const figures = await measureFamilyMemory(FAMILIES, ROTATIONS, progress)
  await tell(memoryReportOf(figures), figures)
} else {
  const figures = await measureAll(values.quick ? QUICK : FULL, values.alg)
  await tell(reportOf(figures), figures)
}

async function tell(report: Report, figures: unknown): Promise<void> {
  console.log(values.json ? JSON.stringify(figures) : textOf(report))
  if (values.write === undefined) return
  for (const file of await writeReport(values.write, report, figures)) progress(`wrote ${file}`)
}
