import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { measureConstants } from './constants.ts'
import { type GrowthSettings, measureGrowth } from './growth.ts'
import { measureKills } from './kills.ts'
import { type CoresSettings, measureManyCores } from './many-cores.ts'
import { type ScaleFigures, scalePlotsOf, scaleSectionsOf } from './report.ts'

export const SCALE_PARTS = ['constants', 'cores', 'kills', 'growth'] as const
export type ScalePart = (typeof SCALE_PARTS)[number]

export interface ScaleOptions {
  readonly parts: readonly ScalePart[]
  readonly quick: boolean
  /** No store larger than so many families. */
  readonly most: number
  readonly json: boolean
  /** The folder of the page that gets the figures, and of the plots beside it. */
  readonly write: string | undefined
}

const CORES: Readonly<Record<'full' | 'quick', CoresSettings>> = {
  full: { rounds: 5, seconds: 3 },
  quick: { rounds: 2, seconds: 1 },
}
const KILLS = { full: 10, quick: 2 } as const
const GROWTH: Readonly<Record<'full' | 'quick', GrowthSettings>> = {
  full: {
    families: { redis: [1e3, 1e4, 1e5, 1e6], lmdb: [1e3, 1e4, 1e5, 1e6] },
    operations: 2000,
    seconds: 3,
  },
  quick: { families: { redis: [1e3, 1e4], lmdb: [1e3, 1e4] }, operations: 500, seconds: 1 },
}

/** Measures how Pawl scales, by processes, machines and sessions. @returns the report. */
export async function runScale(
  { parts, quick, most, json, write }: ScaleOptions,
  progress: (line: string) => void,
): Promise<string> {
  const unknown = parts.find((part) => !SCALE_PARTS.includes(part))
  if (unknown !== undefined) throw new Error(`there is no part ${unknown}: ${SCALE_PARTS.join(', ')}`)
  const size = quick ? 'quick' : 'full'
  const figures: ScaleFigures = {
    node: process.version,
    processor: `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`,
    load: loadavg()[0] ?? Number.NaN,
    ...(parts.includes('constants') && { constants: await measureConstants() }),
    ...(parts.includes('cores') && { manyCores: await measureManyCores(CORES[size], progress) }),
    ...(parts.includes('kills') && { kills: await measureKills(KILLS[size], progress) }),
    ...(parts.includes('growth') && { growth: await measureGrowth(upTo(most, GROWTH[size]), progress) }),
  }
  if (write !== undefined) writeInto(write, figures)
  return json ? JSON.stringify(figures) : [...scaleSectionsOf(figures).values()].join('\n\n')
}

function upTo(most: number, { families: { redis, lmdb }, ...settings }: GrowthSettings): GrowthSettings {
  const within = (sizes: readonly number[]) => sizes.filter((families) => families <= most)
  return { ...settings, families: { redis: within(redis), lmdb: within(lmdb) } }
}

/** Each part's figures have a place of their own in the page, so that parts can be measured one by one. */
export function writeInto(folder: string, figures: ScaleFigures): void {
  const page = join(folder, 'scaling.md')
  let text = readFileSync(page, 'utf8')
  for (const [part, section] of scaleSectionsOf(figures)) {
    const [begin, end] = [`<!-- ${part} -->`, `<!-- end of ${part} -->`]
    const [from, to] = [text.indexOf(begin), text.indexOf(end)]
    if (from < 0 || to < from) throw new Error(`${page} has no place for the figures of ${part}`)
    text = `${text.slice(0, from + begin.length)}\n${section}\n${text.slice(to)}`
  }
  writeFileSync(page, text)
  for (const [name, svg] of scalePlotsOf(figures)) writeFileSync(join(folder, name), svg)
}
