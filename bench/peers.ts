import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { assignCores, type Cores } from './cores.ts'
import { installedSize } from './installed-size.ts'
import { Load } from './load.ts'
import { check, PeerClient } from './peer-client.ts'
import { measureKill } from './peer-kill.ts'
import { measureGrowth, residentBytesOf } from './peer-memory.ts'
import { race } from './peer-race.ts'
import { type ContenderFigures, type PeersFigures, peersReport } from './peer-report.ts'
import { CONTENDERS, type Contender, install, type Running, start, versionOf } from './peer-servers.ts'
import { measureStart } from './peer-start.ts'
import { figuresOf, type Run, runOnce } from './refresh-rounds.ts'
import { type SignRate, type SignRateMeter, signRateMeter } from './sign-rate.ts'
import { spreadOf } from './statistics.ts'
import { countCommands, type StoreCommands } from './store-commands.ts'
import { textOf } from './tables.ts'
import { writeReport } from './write-report.ts'

const USAGE = `npm run bench:peers -- [--quick] [--only NAME]... [--json] [--write FOLDER]

Measures Pawl beside other servers for Node, each on a Redis of its own: docs/benchmarks/peers.md.
The first run installs them, with npm ci, each into its folder of bench/peers.

  --quick         two short rounds, for a first look: under three minutes instead of under twelve
  --only NAME     this server; may be given again. One of ${CONTENDERS.map(({ name }) => name).join(', ')}
  --json          one JSON object on standard output instead of the tables
  --write FOLDER  writes peers.json, peers-figures.md and the plots peers-*.svg there as well`

interface PeerSettings {
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly families: number
  readonly rotations: readonly number[]
  readonly trials: number
  readonly kills: number
  readonly starts: number
}

const FULL: PeerSettings = {
  rounds: 5,
  seconds: 2,
  warmUpSeconds: 2,
  families: 32,
  rotations: [1, 10, 100],
  trials: 20,
  kills: 5,
  starts: 5,
}
const QUICK: PeerSettings = {
  rounds: 2,
  seconds: 0.7,
  warmUpSeconds: 1,
  families: 32,
  rotations: [1, 10, 100],
  trials: 5,
  kills: 2,
  starts: 2,
}
const AT_ONCE = [1, 16, 64, 256]
const SIGN_INS_AT_ONCE = 4
const USERS = Math.max(...AT_ONCE)

const begun = performance.now()
const progress = (line: string) =>
  process.stderr.write(`${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s  ${line}\n`)

interface Bench {
  readonly cores: Cores
  readonly meter: SignRateMeter
  readonly settings: PeerSettings
}

type Before = Pick<ContenderFigures, 'residentIdleBytes' | 'startMs' | 'growth'>

/** A server with its load, and what has been found of it so far. */
class Entry {
  readonly running: Running
  readonly load: Load
  readonly #client: PeerClient
  readonly #runs = new Map<number, Run[]>(AT_ONCE.map((atOnce) => [atOnce, []]))
  readonly #signIns: { perSecond: number; p99Ms: number; putOff: number }[] = []
  readonly #before: Before
  #commands: StoreCommands | undefined

  private constructor(running: Running, load: Load, client: PeerClient, before: Before) {
    this.running = running
    this.load = load
    this.#client = client
    this.#before = before
  }

  /** Starts it, checks it, and measures what wants a server that has not been under load. */
  static async start({ cores, settings }: Bench, contender: Contender): Promise<Entry> {
    const running = await start(cores, contender, USERS + 1)
    let load: Load | undefined
    try {
      const client = new PeerClient(running, running.server.url)
      await check(running, client)
      const residentIdleBytes = residentBytesOf(running.server.pid)
      const startMs = await measureStart(running, settings.starts)
      load = await Load.start(running.server.url, [], contender.dialect)
      // The first of them has sessions already.
      const [, ...fresh] = running.usernames
      const families = fresh.slice(0, settings.families)
      const growth = await measureGrowth(running.redis, load, families, settings.rotations)
      await load.signIn(fresh.slice(settings.families))
      return new Entry(running, load, client, { residentIdleBytes, startMs, growth })
    } catch (error) {
      load?.stop()
      await running.stop()
      throw error
    }
  }

  async warmUp({ settings }: Bench): Promise<void> {
    await this.load.run(16, settings.warmUpSeconds)
    await this.load.run(USERS, settings.warmUpSeconds / 2)
    this.#commands = await countCommands(this.running.redis, this.load)
  }

  async round(bench: Bench, signing: SignRate): Promise<void> {
    const { load, running } = this
    const { seconds } = bench.settings
    const pids = { serverPid: running.server.pid, storePid: running.redis.pid }
    for (const atOnce of AT_ONCE) {
      // Connections that were closed in the meantime are made anew before the clock runs.
      await load.rotate(atOnce, 1)
      const setting = { ...bench, load, ...pids, progress }
      this.#runs.get(atOnce)!.push(await runOnce(setting, signing, atOnce, seconds))
    }
    const { requestsPerSecond, p99Ms, putOff } = await load.runSignIns(
      running.usernames,
      SIGN_INS_AT_ONCE,
      seconds,
    )
    this.#signIns.push({ perSecond: requestsPerSecond, p99Ms, putOff })
    const rates = AT_ONCE.map((atOnce) => Math.round(this.#runs.get(atOnce)!.at(-1)!.requestsPerSecond))
    progress(
      `  ${running.contender.name}: ${rates.join(', ')}/s; sign-ins ${Math.round(requestsPerSecond)}/s`,
    )
  }

  async finish({ settings }: Bench): Promise<ContenderFigures> {
    const { contender, server, usernames } = this.running
    const residentLoadedBytes = residentBytesOf(server.pid)
    const raced = await race(this.#client, usernames[0]!, settings.trials)
    const kill = await measureKill(this.running, settings.kills)
    const { answered, lineages } = raced
    progress(
      `  ${contender.name}: ${answered.median} answered, ${lineages.median} lineages; ${kill.lost} lost`,
    )
    return {
      name: contender.name,
      version: versionOf(contender),
      rotates: this.#client.dialect.rotates,
      refreshes: [...this.#runs].map(([atOnce, runs]) => figuresOf(atOnce, runs)),
      signIns: {
        atOnce: SIGN_INS_AT_ONCE,
        perSecond: spreadOf(this.#signIns.map(({ perSecond }) => perSecond)),
        p99Ms: spreadOf(this.#signIns.map(({ p99Ms }) => p99Ms)),
        putOff: this.#signIns.reduce((sum, { putOff }) => sum + putOff, 0),
      },
      ...this.#before,
      residentLoadedBytes,
      commands: this.#commands!,
      installed: installedSize(contender.folder),
      race: raced,
      kill,
    }
  }

  async stop(): Promise<void> {
    this.load.stop()
    await this.#client.close()
    await this.running.stop()
  }
}

async function measure(contenders: readonly Contender[], settings: PeerSettings): Promise<PeersFigures> {
  for (const contender of contenders) install(contender, progress)
  const loadBefore = loadavg()[0]!
  const cores = assignCores()
  const bench = { cores, meter: signRateMeter(cores, Math.ceil(settings.seconds / 2)), settings }
  const entries: Entry[] = []
  try {
    for (const contender of contenders) {
      progress(`${contender.name}: start, memory`)
      entries.push(await Entry.start(bench, contender))
    }
    const redisInfo = String(await entries[0]!.running.redis.cli('INFO', 'server'))
    for (const entry of entries) {
      progress(`${entry.running.contender.name}: warm-up, commands`)
      await entry.warmUp(bench)
    }
    const signings: SignRate[] = []
    for (let round = 1; round <= settings.rounds; round += 1) {
      const signing = await bench.meter.measure()
      signings.push(signing)
      progress(`round ${round} of ${settings.rounds}: RSA-2048 ${Math.round(signing.perSecond)}/s`)
      // Another server begins each round, so that none always comes right after the same one.
      for (let i = 0; i < entries.length; i += 1)
        await entries[(round + i) % entries.length]!.round(bench, signing)
    }
    progress('races')
    const servers: ContenderFigures[] = []
    for (const entry of entries) servers.push(await entry.finish(bench))
    return {
      node: process.version,
      redisVersion: /^(?:redis|valkey)_version:(\S+)/m.exec(redisInfo)?.[1] ?? 'unknown',
      processor: `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`,
      serverCore: cores.server ?? null,
      otherCores: cores.others,
      loadBefore,
      settings,
      signing: bench.meter.name,
      signaturesPerSecond: spreadOf(signings.map(({ perSecond }) => perSecond)),
      signatureCpuMicroseconds: spreadOf(signings.map(({ cpuMicroseconds }) => cpuMicroseconds)),
      servers,
      minutes: (performance.now() - begun) / 60_000,
    }
  } finally {
    for (const entry of entries.reverse()) await entry.stop()
  }
}

function chosen(names: readonly string[]): readonly Contender[] {
  const unknown = names.filter((name) => !CONTENDERS.some((contender) => contender.name === name))
  if (unknown.length > 0) throw new Error(`no server is called ${unknown.join(', ')}; see --help`)
  return names.length === 0 ? CONTENDERS : CONTENDERS.filter(({ name }) => names.includes(name))
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean' },
    write: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(USAGE)
} else {
  const figures = await measure(chosen(values.only), values.quick ? QUICK : FULL)
  const report = peersReport(figures)
  console.log(values.json ? JSON.stringify(figures) : textOf(report))
  if (values.write !== undefined)
    for (const file of await writeReport(values.write, report, figures)) progress(`wrote ${file}`)
}
