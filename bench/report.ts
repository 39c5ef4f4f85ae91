import type { FamilyMemory } from './family-memory.ts'
import type { RoundSettings, RoundsFigures } from './refresh-rounds.ts'
import type { Spread } from './statistics.ts'
import type { StoreCommands } from './store-commands.ts'

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

/** The figures for a person, line by line. */
export function reportOf(figures: Figures): string[] {
  const { settings, storeCommands, familyMemory } = figures
  const sent = Object.entries(storeCommands.sent).map(([name, count]) => `${name} ${count.toFixed(3)}`)
  return [
    `Chained refreshes, Node ${figures.node}, ${figures.processor}`,
    figures.serverCore === null
      ? 'NOT PINNED: without taskset the server signs on several cores, and the ratios compare it with one'
      : `the server on core ${figures.serverCore}, Redis and the load on ${figures.otherCores}`,
    `medians of ${settings.rounds} rounds of ${settings.seconds} s, least to most in brackets`,
    `signatures: ${figures.signing}, on the server's core`,
    'ratio: refreshes per second to signatures per second; CPU ratio: processor time of a signature to that of a refresh',
    '',
    ...roundsLines(`Redis ${figures.redisVersion}, appendonly yes, appendfsync everysec`, figures.redis),
    '',
    ...roundsLines('LMDB, the embedded store', figures.lmdb),
    '',
    `Store commands per refresh, over ${storeCommands.sample} refreshes one after another:`,
    `  sent by the server: ${sent.join(', ')}`,
    `  run inside scripts: ${storeCommands.insideScripts.toFixed(1)}`,
    `  round trips: ${storeCommands.reads.toFixed(3)}`,
    '',
    ...memoryReportOf(familyMemory),
  ]
}

export function memoryReportOf({ families, after }: FamilyMemory): string[] {
  return [
    `Redis memory per family, ${families} users with one family each:`,
    ...after.map(
      ({ rotations, bytes, recordBytes }) =>
        `  after ${plural(rotations, 'rotation')}: ${Math.round(bytes)} bytes ` +
        `(MEMORY USAGE: record ${recordBytes}; the rest are its place in the user's and Redis's tables)`,
    ),
    `  processor time of Redis inside the script: ${after.at(-1)?.scriptMicroseconds.toFixed(1)} µs per rotation`,
  ]
}

function roundsLines(title: string, figures: RoundsFigures): string[] {
  const { signaturesPerSecond, signatureCpuMicroseconds, refreshes } = figures
  const header = ['at once', 'requests/s', 'ratio', 'p50 ms', 'p99 ms', 'CPU µs', 'CPU ratio', 'others busy']
  const rows = refreshes.map((row) => [
    String(row.atOnce),
    spread(row.requestsPerSecond, 0),
    spread(row.ratio, 2),
    spread(row.p50Ms, 2),
    spread(row.p99Ms, 2),
    spread(row.cpuMicroseconds, 0),
    spread(row.cpuRatio, 2),
    percent(row.othersBusy),
  ])
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]!.length)))
  return [
    title,
    `  RSA-2048 signatures: ${spread(signaturesPerSecond, 0)} per second, ${spread(signatureCpuMicroseconds, 0)} µs CPU each`,
    ...[header, ...rows].map((row) => `  ${row.map((cell, i) => cell.padStart(widths[i]!)).join('  ')}`),
  ]
}

function spread(figure: Spread | null, digits: number): string {
  if (!figure) return '-'
  const [median, min, max] = [figure.median, figure.min, figure.max].map((value) => value.toFixed(digits))
  return `${median} (${min}–${max})`
}

const percent = (figure: Spread | null) => (figure ? `${Math.round(figure.median * 100)} %` : '-')
const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`
