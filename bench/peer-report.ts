import { type LineChart, pointOf } from './line-chart.ts'
import type { KillFigures } from './peer-kill.ts'
import type { FamilyGrowth } from './peer-memory.ts'
import type { RaceFigures } from './peer-race.ts'
import type { RefreshFigures } from './refresh-rounds.ts'
import type { Spread } from './statistics.ts'
import type { StoreCommands } from './store-commands.ts'
import { megabytes, type Report, spread, type Table } from './tables.ts'

/** All that was found of one server. */
export interface ContenderFigures {
  readonly name: string
  readonly version: string
  /** Whether a refresh brings another refresh token. */
  readonly rotates: boolean
  readonly refreshes: readonly RefreshFigures[]
  readonly signIns: {
    readonly atOnce: number
    readonly perSecond: Spread
    readonly p99Ms: Spread
    /** Answered with 503 or 429 instead, over all rounds. */
    readonly putOff: number
  }
  /** Null where there is no `/proc`. */
  readonly residentIdleBytes: number | null
  readonly residentLoadedBytes: number | null
  readonly startMs: Spread
  readonly growth: FamilyGrowth
  readonly commands: StoreCommands
  readonly installed: { readonly packages: number; readonly bytes: number }
  readonly race: RaceFigures
  readonly kill: KillFigures
}

/** All that one run found. */
export interface PeersFigures {
  readonly node: string
  readonly redisVersion: string
  readonly processor: string
  readonly serverCore: number | null
  readonly otherCores: string
  /** Processes that wanted a core when it began, over the last minute. */
  readonly loadBefore: number
  readonly settings: { readonly rounds: number; readonly seconds: number }
  readonly signing: string
  readonly signaturesPerSecond: Spread
  readonly signatureCpuMicroseconds: Spread
  readonly servers: readonly ContenderFigures[]
  /** How long the whole took. */
  readonly minutes: number
}

export function peersReport(figures: PeersFigures): Report {
  const { settings, servers, serverCore } = figures
  return {
    name: 'peers',
    title: `Pawl and other servers, Node ${figures.node}, ${figures.processor}`,
    notes: [
      serverCore === null
        ? 'NOT PINNED: without taskset the servers use several cores, and the ratios compare them with one'
        : `each server on core ${serverCore}, Redis and the load on ${figures.otherCores}`,
      `Redis ${figures.redisVersion}, appendonly yes, appendfsync everysec; one for each server`,
      `medians of ${settings.rounds} interleaved rounds of ${settings.seconds} s, least to most in brackets`,
      `RSA-2048 signatures: ${spread(figures.signaturesPerSecond, 0)} per second, ` +
        `${spread(figures.signatureCpuMicroseconds, 0)} µs CPU each (${figures.signing}, on the servers' core)`,
      `the machine's load when it began: ${figures.loadBefore.toFixed(1)}; the whole took ${figures.minutes.toFixed(1)} minutes`,
      ...servers.flatMap(busyNotes),
    ],
    tables: [
      refreshTable(servers),
      latencyTable(servers),
      costTable(servers),
      redisTable(servers),
      raceTable(servers),
    ],
    charts: [
      {
        name: 'throughput',
        chart: concurrencyChart(servers, 'Refreshes per second', 'refreshes/s', 'linear'),
      },
      { name: 'p99', chart: concurrencyChart(servers, 'p99 of a refresh', 'ms', 'logarithmic') },
      { name: 'family-bytes', chart: growthChart(servers) },
    ],
  }
}

const titleOf = ({ name, version, rotates }: ContenderFigures) =>
  [name, ...(version === '-' ? [] : [version]), ...(rotates ? [] : ['(no rotation)'])].join(' ')

/** A server that puts requests off says that its figures are those of a machine with too much else to do. */
function busyNotes({ name, refreshes, signIns }: ContenderFigures): string[] {
  const putOff = refreshes.reduce((sum, refresh) => sum + refresh.putOff, 0)
  if (putOff + signIns.putOff === 0) return []
  return [`TOO BUSY: ${name} put off ${putOff} refreshes and ${signIns.putOff} sign-ins with 503`]
}

/** The concurrency at which the costs are told: neither idle in between nor queueing for long. */
const TYPICAL = 16
const typical = ({ refreshes }: ContenderFigures) =>
  refreshes.find(({ atOnce }) => atOnce === TYPICAL) ?? refreshes[0]!

function refreshTable(servers: readonly ContenderFigures[]): Table {
  const atOnce = servers[0]?.refreshes.map((figures) => figures.atOnce) ?? []
  return {
    title: 'Refreshes per second',
    notes: [`ratio: refreshes to RSA-2048 signatures of OpenSSL per second, at ${TYPICAL} at once`],
    header: ['server', ...atOnce.map((count) => `${count} at once`), 'ratio'],
    rows: servers.map((server) => [
      titleOf(server),
      ...server.refreshes.map(({ requestsPerSecond }) => spread(requestsPerSecond, 0)),
      spread(typical(server).ratio, 2),
    ]),
  }
}

function latencyTable(servers: readonly ContenderFigures[]): Table {
  const atOnce = servers[0]?.refreshes.map((figures) => figures.atOnce) ?? []
  return {
    title: 'Milliseconds of a refresh',
    notes: [],
    header: ['server', ...atOnce.flatMap((count) => [`p50 at ${count}`, `p99 at ${count}`])],
    rows: servers.map((server) => [
      titleOf(server),
      ...server.refreshes.flatMap(({ p50Ms, p99Ms }) => [
        spread({ ...p50Ms, min: p50Ms.median, max: p50Ms.median }, 2),
        spread(p99Ms, 1),
      ]),
    ]),
  }
}

function costTable(servers: readonly ContenderFigures[]): Table {
  return {
    title: 'What it takes',
    notes: [
      `CPU: processor time of the whole process per refresh, at ${TYPICAL} at once`,
      'start: from the start of the process to the answer to a first refresh',
      'installed: the production dependencies',
    ],
    header: [
      'server',
      'CPU µs',
      'sign-ins/s',
      'idle MB',
      'loaded MB',
      'start ms',
      'installed MB',
      'packages',
    ],
    rows: servers.map((server) => [
      titleOf(server),
      spread(typical(server).cpuMicroseconds, 0),
      spread(server.signIns.perSecond, 1),
      megabytes(server.residentIdleBytes),
      megabytes(server.residentLoadedBytes),
      spread(server.startMs, 0),
      megabytes(server.installed.bytes),
      String(server.installed.packages),
    ]),
  }
}

function redisTable(servers: readonly ContenderFigures[]): Table {
  const rotations = servers[0]?.growth.after.map((after) => after.rotations) ?? []
  return {
    title: 'What it asks of Redis',
    notes: [
      'commands: sent per refresh; in scripts: run inside Redis by them; reads: times that Redis read from a connection, which are the round trips',
      `bytes and keys: per signed-in user after so many rotations, by MEMORY USAGE; of ${servers[0]?.growth.families ?? 0} users`,
    ],
    header: [
      'server',
      'commands',
      'in scripts',
      'reads',
      ...rotations.map((count) => `bytes after ${count}`),
      `keys after ${rotations.at(-1) ?? 0}`,
    ],
    rows: servers.map((server) => [
      titleOf(server),
      Object.values(server.commands.sent)
        .reduce((sum, count) => sum + count, 0)
        .toFixed(2),
      server.commands.insideScripts.toFixed(1),
      server.commands.reads.toFixed(2),
      ...server.growth.after.map(({ bytes }) => String(Math.round(bytes))),
      (server.growth.after.at(-1)?.keys ?? Number.NaN).toFixed(1),
    ]),
  }
}

function raceTable(servers: readonly ContenderFigures[]): Table {
  const { racers = 0 } = servers[0]?.race ?? {}
  return {
    title: `${racers} refreshes at once with one refresh token, and other mishaps`,
    notes: [
      'answered: with tokens; lineages: refresh tokens that live on side by side two refreshes later; signed out: no token works any more',
      'lost answer: the client never got the answer to its refresh and asks again with the token it has; the session goes on',
      'thief: refreshed twice with a copy, then the owner comes with the first token; the thief is still in',
      'killed: one of two servers gets SIGKILL under load, and its clients ask the other with the token they have; sessions that are lost',
    ],
    header: [
      'server',
      'answered',
      'lineages',
      'signed out',
      'lost answer: goes on',
      'thief: still in',
      'killed: lost',
    ],
    rows: servers.map((server) => {
      const { answered, lineages, signedOut, trials, lostAnswers, thefts } = server.race
      const { lost, sessions } = server.kill
      return [
        titleOf(server),
        spread(answered, 0),
        spread(lineages, 0),
        `${signedOut} of ${trials}`,
        `${lostAnswers.goOn} of ${lostAnswers.trials}`,
        `${thefts.thiefStays} of ${thefts.trials}`,
        `${lost} of ${sessions}`,
      ]
    }),
  }
}

function concurrencyChart(
  servers: readonly ContenderFigures[],
  title: string,
  yLabel: string,
  yScale: LineChart['yScale'],
): LineChart {
  const figureOf = (refresh: RefreshFigures) =>
    yScale === 'linear' ? refresh.requestsPerSecond : refresh.p99Ms
  return {
    title: `${title} by concurrency`,
    xLabel: 'refreshes at once',
    yLabel,
    yScale,
    x: servers[0]?.refreshes.map(({ atOnce }) => String(atOnce)) ?? [],
    series: servers.map((server) => ({
      name: server.name,
      points: server.refreshes.map((refresh) => pointOf(figureOf(refresh))),
    })),
  }
}

function growthChart(servers: readonly ContenderFigures[]): LineChart {
  return {
    title: 'Redis memory per session over its rotations',
    xLabel: 'rotations',
    yLabel: 'bytes',
    yScale: 'logarithmic',
    x: servers[0]?.growth.after.map(({ rotations }) => String(rotations)) ?? [],
    series: servers.map(({ name, growth }) => ({
      name,
      // The noise of the allocator may make nothing out of next to nothing.
      points: growth.after.map(({ bytes }) => (bytes > 0 ? { y: bytes } : null)),
    })),
  }
}
