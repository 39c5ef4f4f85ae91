import type { LineChart } from './line-chart.ts'
import type { Spread } from './statistics.ts'

export interface Table {
  readonly title: string
  /** What the columns mean, line by line; may be empty. */
  readonly notes: readonly string[]
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** What a benchmark found, for a person. */
export interface Report {
  /** The files that it is written to begin with it. */
  readonly name: string
  readonly title: string
  readonly notes: readonly string[]
  readonly tables: readonly Table[]
  readonly charts: readonly { readonly name: string; readonly chart: LineChart }[]
}

/** For a terminal. */
export function textOf({ title, notes, tables }: Report): string {
  return [title, ...notes, ...tables.flatMap((table) => ['', ...linesOf(table)])].join('\n')
}

/** For a page, with the plots that are beside it. */
export function markdownOf({ name, title, notes, tables, charts }: Report): string {
  return [
    `### ${title}`,
    '',
    ...notes.map((note) => `- ${note}`),
    ...tables.flatMap((table) => ['', ...markdownLinesOf(table)]),
    ...charts.flatMap(({ name: plot, chart }) => ['', `![${chart.title}](${name}-${plot}.svg)`]),
    '',
  ].join('\n')
}

function linesOf({ title, notes, header, rows }: Table): string[] {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
    return `  ${cells.join('  ')}`
  }
  return [title, ...notes.map((note) => `  ${note}`), ...(header.length > 0 ? all.map(line) : [])]
}

function markdownLinesOf({ title, notes, header, rows }: Table): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [
    `**${title}**`,
    ...(notes.length > 0 ? ['', ...notes.map((note) => `- ${note}`)] : []),
    ...(header.length > 0
      ? ['', line(header), line(header.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)]
      : []),
  ]
}

/** The median, and the least and the most in brackets; a dash for what could not be measured. */
export function spread(figure: Spread | null, digits: number): string {
  if (!figure || Number.isNaN(figure.median)) return '-'
  const [median, min, max] = [figure.median, figure.min, figure.max].map((value) => value.toFixed(digits))
  return min === max ? median! : `${median} (${min}–${max})`
}

export const percent = (figure: Spread | null) => (figure ? `${Math.round(figure.median * 100)} %` : '-')
export const megabytes = (bytes: number | null) => (bytes === null ? '-' : (bytes / 1e6).toFixed(1))
