import { lineChart } from '../line-chart.ts'
import type { Spread } from '../statistics.ts'
import type { ConstantFigures } from './constants.ts'
import { type GrowthFigures, OPERATIONS } from './growth.ts'
import type { KillFigures } from './kills.ts'
import type { ManyCoresFigures } from './many-cores.ts'

/** All that one run found; a part that was not asked for is not there. */
export interface ScaleFigures {
  readonly node: string
  readonly processor: string
  readonly load: number
  readonly constants?: ConstantFigures
  readonly manyCores?: ManyCoresFigures
  readonly kills?: readonly KillFigures[]
  readonly growth?: readonly GrowthFigures[]
}

/** The figures as Markdown, by part. */
export function scaleSectionsOf({
  node,
  processor,
  load,
  constants,
  manyCores,
  kills,
  growth,
}: ScaleFigures): Map<string, string> {
  const where = `${processor}, Node ${node}; load average before the run ${load.toFixed(1)}.`
  const sections = new Map<string, string[]>()
  if (constants) sections.set('constants', constantsSection(constants))
  if (manyCores) sections.set('cores', manyCoresSection(manyCores))
  if (kills) sections.set('kills', killsSection(kills))
  if (growth) sections.set('growth', growthSection(growth))
  return new Map(
    [...sections].map(([part, [title, ...rest]]) => [part, [title, where, ...rest].join('\n\n')]),
  )
}

const plotName = (store: string) => `scaling-${store.toLowerCase()}.svg`
const scalePlotNames = (growth: readonly GrowthFigures[]) => growth.map(({ store }) => plotName(store))

/** By file name. */
export function scalePlotsOf({ growth = [] }: ScaleFigures): Map<string, string> {
  return new Map(
    growth.map(({ store, sizes }) => [
      plotName(store),
      lineChart({
        title: `Processor time of an operation, ${store}`,
        xLabel: 'families in the store',
        yLabel: 'µs, Redis included',
        yScale: 'linear',
        x: sizes.map(({ families }) => families.toLocaleString('en-GB')),
        series: OPERATIONS.map((operation) => ({
          name: operation,
          points: sizes.map(({ costs }) => ({
            y: costs.find((cost) => cost.operation === operation)!.cpuMicroseconds,
          })),
        })),
      }),
    ]),
  )
}

function constantsSection(figures: ConstantFigures): string[] {
  const bytes = (value: number) => `${Math.round(value)} bytes`
  return [
    '### What is counted',
    `Averages of ${count(figures.sample)} refreshes one after another, one Redis with \`appendfsync everysec\`.`,
    table(
      ['per refresh', ''],
      [
        ['request, headers included', bytes(figures.requestBytes)],
        ['answer, headers included', bytes(figures.answerBytes)],
        ['server to Redis', bytes(figures.toRedisBytes)],
        ['Redis to server', bytes(figures.fromRedisBytes)],
        ["Redis's log, and the stream to each replica", bytes(figures.aofBytes)],
        ["the script, by Redis's own account", `${figures.scriptMicroseconds.toFixed(1)} µs`],
        ['memory of a user without sessions (not per refresh)', bytes(figures.userBytes)],
        ['of that, the entry in the hash of all user names', bytes(figures.usernameBytes)],
      ],
    ),
  ]
}

function manyCoresSection(figures: ManyCoresFigures): string[] {
  const { rounds, seconds, cores, signing, signaturesPerSecond, signatureMicroseconds } = figures
  return [
    '### Several processes, several machines',
    `Medians of ${rounds} rounds of ${seconds} s, least to most in brackets; ${signing} on all ${cores} cores at once: ` +
      `${spread(signaturesPerSecond, 0)} per second, ${spread(signatureMicroseconds, 0)} µs CPU each.`,
    table(
      [
        'arrangement',
        'refreshes/s',
        'ratio',
        'CPU ratio',
        'CPU µs: servers',
        'store',
        'load',
        'p50 ms',
        'p99 ms',
        'errors',
      ],
      figures.arrangements.map((row) => [
        row.name,
        spread(row.refreshesPerSecond, 0),
        spread(row.ratio, 2),
        spread(row.cpuRatio, 2),
        ...[row.serverMicroseconds, row.storeMicroseconds, row.loadMicroseconds].map(({ median }) =>
          median.toFixed(0),
        ),
        row.p50Ms.median.toFixed(1),
        row.p99Ms.median.toFixed(1),
        `${row.errors} of ${count(row.refreshes)}`,
      ]),
    ),
  ]
}

function killsSection(kills: readonly KillFigures[]): string[] {
  return [
    '### `kill -9` under load',
    table(
      ['what is killed', 'kills', 'sessions', 'refreshes', 'requests broken', 'sessions lost'],
      kills.map((row) => [
        row.name,
        String(row.kills),
        count(row.sessions),
        count(row.refreshes),
        count(row.troubles),
        `**${row.lost}**`,
      ]),
    ),
  ]
}

function growthSection(growth: readonly GrowthFigures[]): string[] {
  return [
    '### As families grow',
    'Processor time per operation in µs; of that Redis in brackets. MB is the memory of Redis, or the file of LMDB, users ' +
      'included, of whom each has ten sessions.',
    ...scalePlotNames(growth).map((name) => `![Processor time per operation](${name})`),
    ...growth.flatMap(({ store, sizes }) => [
      table(
        [`${store}, families`, 'MB', ...OPERATIONS],
        sizes.map(({ families, storeBytes, costs }) => [
          count(families),
          count(Math.round(storeBytes / 1e6)),
          ...OPERATIONS.map((operation) => {
            const cost = costs.find((each) => each.operation === operation)!
            const ofRedis = store === 'Redis' ? ` (${cost.redisMicroseconds.toFixed(0)})` : ''
            return cost.cpuMicroseconds.toFixed(0) + ofRedis
          }),
        ]),
      ),
    ]),
  ]
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(header),
    `|${header.map((_, i) => (i === 0 ? '---|' : '---:|')).join('')}`,
    ...rows.map(line),
  ].join('\n')
}

function spread({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`
}

const count = (value: number) => value.toLocaleString('en')
