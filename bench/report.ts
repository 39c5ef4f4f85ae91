import type { FamilyMemory } from './family-memory.ts'
import { type LineChart, pointOf } from './line-chart.ts'
import type { RoundSettings, RoundsFigures } from './refresh-rounds.ts'
import type { StoreCommands } from './store-commands.ts'
import { percent, type Report, spread, type Table } from './tables.ts'

/** All that one run of the benchmark found. */
export interface Figures {
  readonly node: string
  readonly redisVersion: string
  readonly processor: string
  readonly serverCore: number | null
  readonly otherCores: string
  readonly settings: RoundSettings
  readonly signing: string
  readonly redis: RoundsFigures
  readonly lmdb: RoundsFigures
  readonly storeCommands: StoreCommands
  readonly familyMemory: FamilyMemory
}

export function reportOf(figures: Figures): Report {
  const { settings, storeCommands, familyMemory, redis, lmdb } = figures
  const sent = Object.entries(storeCommands.sent).map(([name, count]) => `${name} ${count.toFixed(3)}`)
  return {
    name: 'refresh',
    title: `Chained refreshes, Node ${figures.node}, ${figures.processor}`,
    notes: [
      figures.serverCore === null
        ? 'NOT PINNED: without taskset the server signs on several cores, and the ratios compare it with one'
        : `the server on core ${figures.serverCore}, Redis and the load on ${figures.otherCores}`,
      `medians of ${settings.rounds} rounds of ${settings.seconds} s, least to most in brackets`,
      `signatures: ${figures.signing}, on the server's core`,
      'ratio: refreshes per second to signatures per second; CPU ratio: processor time of a signature to that of a refresh',
    ],
    tables: [
      roundsTable(`Redis ${figures.redisVersion}, appendonly yes, appendfsync everysec`, redis),
      roundsTable('LMDB, the embedded store', lmdb),
      {
        title: `Store commands per refresh, over ${storeCommands.sample} refreshes one after another`,
        notes: [
          `sent by the server: ${sent.join(', ')}`,
          `run inside scripts: ${storeCommands.insideScripts.toFixed(1)}`,
          `round trips: ${storeCommands.reads.toFixed(3)}`,
        ],
        header: [],
        rows: [],
      },
      familyMemoryTable(familyMemory),
    ],
    charts: [
      {
        name: 'throughput',
        chart: concurrencyChart(figures, 'Refreshes per second', 'refreshes/s', 'linear'),
      },
      { name: 'p99', chart: concurrencyChart(figures, 'p99 of a refresh', 'ms', 'logarithmic') },
      {
        name: 'family-bytes',
        chart: {
          title: 'Redis memory per session over its rotations',
          xLabel: 'rotations',
          yLabel: 'bytes',
          yScale: 'linear',
          x: familyMemory.after.map(({ rotations }) => String(rotations)),
          series: [{ name: 'pawl', points: familyMemory.after.map(({ bytes: y }) => ({ y })) }],
        },
      },
    ],
  }
}

export function memoryReportOf(figures: FamilyMemory): Report {
  return {
    name: 'memory',
    title: 'What a session costs Redis',
    notes: [],
    tables: [familyMemoryTable(figures)],
    charts: [],
  }
}

function familyMemoryTable({ families, after }: FamilyMemory): Table {
  return {
    title: `Redis memory per family, ${families} users with one family each`,
    notes: [
      "record: what MEMORY USAGE says of it; the rest of the bytes are its place in the user's record and Redis's tables",
      "script: Redis's processor time inside the script, per rotation",
    ],
    header: ['rotations', 'bytes', 'record', 'script µs'],
    rows: after.map(({ rotations, bytes, recordBytes, scriptMicroseconds }) => [
      String(rotations),
      String(Math.round(bytes)),
      String(recordBytes),
      scriptMicroseconds.toFixed(1),
    ]),
  }
}

function roundsTable(title: string, figures: RoundsFigures): Table {
  const { signaturesPerSecond, signatureCpuMicroseconds, refreshes } = figures
  return {
    title,
    notes: [
      `RSA-2048 signatures: ${spread(signaturesPerSecond, 0)} per second, ${spread(signatureCpuMicroseconds, 0)} µs CPU each`,
      ...refreshes
        .filter(({ putOff }) => putOff > 0)
        .map(
          ({ atOnce, putOff }) => `TOO BUSY: ${putOff} refreshes of ${atOnce} at once were put off with 503`,
        ),
    ],
    header: ['at once', 'requests/s', 'ratio', 'p50 ms', 'p99 ms', 'CPU µs', 'CPU ratio', 'others busy'],
    rows: refreshes.map((row) => [
      String(row.atOnce),
      spread(row.requestsPerSecond, 0),
      spread(row.ratio, 2),
      spread(row.p50Ms, 2),
      spread(row.p99Ms, 2),
      spread(row.cpuMicroseconds, 0),
      spread(row.cpuRatio, 2),
      percent(row.othersBusy),
    ]),
  }
}

function concurrencyChart(
  { redis, lmdb }: Figures,
  title: string,
  yLabel: string,
  yScale: LineChart['yScale'],
): LineChart {
  const points = ({ refreshes }: RoundsFigures) =>
    refreshes.map(({ requestsPerSecond, p99Ms }) => pointOf(yScale === 'linear' ? requestsPerSecond : p99Ms))
  return {
    title: `${title} by concurrency`,
    xLabel: 'refreshes at once',
    yLabel,
    yScale,
    x: redis.refreshes.map(({ atOnce }) => String(atOnce)),
    series: [
      { name: 'on Redis', points: points(redis) },
      { name: 'on LMDB', points: points(lmdb) },
    ],
  }
}
