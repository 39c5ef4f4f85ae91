/*
 * A line chart as SVG, for a page: it brings its own colours for light and dark, and its own ground, since what is shown
 * as an image inherits nothing from the page.
 */
import type { Spread } from './statistics.ts'

/** `null` where there is no figure. */
export type Point = { readonly y: number; readonly min?: number; readonly max?: number } | null

export interface LineChart {
  readonly title: string
  readonly xLabel: string
  /** With the unit. */
  readonly yLabel: string
  /** Evenly spaced, each with its name. */
  readonly x: readonly string[]
  /** A logarithmic axis takes positive figures only; the linear one begins at 0. */
  readonly yScale: 'linear' | 'logarithmic'
  /** Up to eight. */
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[]
}

const WIDTH = 760
const HEIGHT = 420
const PLOT = { left: 76, right: 560, top: 48, bottom: 352 }
/** Okabe and Ito's palette, for the colour-blind too; its black is the ink, and its yellow is darker on a light ground. */
const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#a3438a', '#8a6d00', '#6e7781', '#1f2328', '#2b8cbe']
const DARK = ['#56b4e9', '#ff9e4a', '#3ddc97', '#e39bc8', '#f0e442', '#a0a8b0', '#f0f6fc', '#9ecae1']
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '4 4', '1 4', '12 3', '5 2 1 2']

/** @throws RangeError for no series, more than eight, no figures at all, or a logarithm of nothing. */
export function lineChart(chart: LineChart): string {
  const { title, xLabel, yLabel, x, series } = chart
  const axis = axisOf(chart)
  const xAt = (i: number) => PLOT.left + ((i + 0.5) * (PLOT.right - PLOT.left)) / x.length
  const yAt = (value: number) => PLOT.bottom - axis.shareOf(value) * (PLOT.bottom - PLOT.top)
  const middle = { x: (PLOT.left + PLOT.right) / 2, y: (PLOT.top + PLOT.bottom) / 2 }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    `<style>${styleOf(series.length)}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${HEIGHT}" rx="6"/>`,
    text(PLOT.left, 28, title, 'title'),
    ...axis.ticks.flatMap((tick) => [
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${round(yAt(tick))}" y2="${round(yAt(tick))}"/>`,
      text(PLOT.left - 8, yAt(tick) + 4, figure(tick), 'end'),
    ]),
    ...x.map((name, i) => text(xAt(i), PLOT.bottom + 20, name, 'middle')),
    text(middle.x, PLOT.bottom + 44, xLabel, 'middle'),
    `<text class="middle" transform="translate(20 ${middle.y}) rotate(-90)">${escaped(yLabel)}</text>`,
    ...series.flatMap(({ points }, s) => seriesOf(points, s, xAt, yAt)),
    ...series.flatMap(({ name }, s) => legendOf(name, s)),
    '</svg>',
    '',
  ].join('\n')
}

/** A figure with its spread, where there is one that the axis can show. */
export function pointOf({ median, min, max }: Spread): Point {
  return Number.isNaN(median) ? null : { y: median, min, max }
}

interface Axis {
  readonly ticks: readonly number[]
  /** From 0 at the bottom to 1 at the top. */
  shareOf(value: number): number
}

function axisOf({ series, yScale, x }: LineChart): Axis {
  if (series.length === 0 || series.length > LIGHT.length)
    throw new RangeError('a chart has one to eight series')
  if (series.some(({ points }) => points.length !== x.length)) throw new RangeError('a point for each x')
  const points = series.flatMap((one) => one.points).filter((point) => point !== null)
  const values = points.flatMap(({ y, min = y, max = y }) => [y, min, max])
  if (values.length === 0 || !values.every(Number.isFinite)) throw new RangeError('figures that can be drawn')
  const most = Math.max(...values)
  if (yScale === 'linear') {
    const step = niceStep(most / 5)
    const ticks = Array.from({ length: Math.max(Math.ceil(most / step), 1) + 1 }, (_, i) => i * step)
    const top = ticks.at(-1)!
    return { ticks, shareOf: (value) => value / top }
  }
  const least = Math.min(...values)
  if (least <= 0) throw new RangeError('no logarithm of nothing')
  const ticks = logarithmicTicks(least, most)
  const [low, high] = [Math.log(ticks[0]!), Math.log(ticks.at(-1)!)]
  return { ticks, shareOf: (value) => (Math.log(value) - low) / (high - low) }
}

/** 1, 2 or 5 times a power of ten, not below `least`. */
function niceStep(least: number): number {
  if (least <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power
}

/** The numbers of the series 1, 2, 5, 10 … that hold both between them. */
function logarithmicTicks(least: number, most: number): number[] {
  const all: number[] = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power += 1) {
    // A negative power by division, or 0.5 would become 0.5000000000000001.
    for (const factor of [1, 2, 5]) all.push(power < 0 ? factor / 10 ** -power : factor * 10 ** power)
  }
  const first = all.findLastIndex((tick) => tick <= least)
  const last = all.findIndex((tick) => tick >= most)
  const ticks = all.slice(first, last + 1)
  return ticks.length > 1 ? ticks : [ticks[0]!, ticks[0]! * 10]
}

function seriesOf(
  points: readonly Point[],
  s: number,
  xAt: (i: number) => number,
  yAt: (y: number) => number,
) {
  const drawn = points.flatMap((point, i) => (point ? [{ ...point, at: round(xAt(i)) }] : []))
  const line = drawn.map(({ at, y }) => `${at},${round(yAt(y))}`).join(' ')
  return [
    `<polyline class="line s${s}" stroke-dasharray="${DASHES[s]}" points="${line}"/>`,
    ...drawn.flatMap(({ at, y, min = y, max = y }) => [
      ...(min < max
        ? [
            `<line class="whisker s${s}" x1="${at}" x2="${at}" y1="${round(yAt(min))}" y2="${round(yAt(max))}"/>`,
          ]
        : []),
      `<circle class="dot s${s}" cx="${at}" cy="${round(yAt(y))}" r="3.5"/>`,
    ]),
  ]
}

function legendOf(name: string, s: number): string[] {
  const y = PLOT.top + 12 + s * 24
  const [from, to] = [PLOT.right + 16, PLOT.right + 46]
  return [
    `<line class="line s${s}" stroke-dasharray="${DASHES[s]}" x1="${from}" x2="${to}" y1="${y}" y2="${y}"/>`,
    `<circle class="dot s${s}" cx="${(from + to) / 2}" cy="${y}" r="3.5"/>`,
    text(to + 8, y + 4, name, 'start'),
  ]
}

function styleOf(count: number): string {
  const colours = (palette: readonly string[]) =>
    palette
      .slice(0, count)
      .map((colour, s) => `.s${s}{stroke:${colour}}.dot.s${s}{fill:${colour}}`)
      .join('')
  return [
    'text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}',
    '.middle{text-anchor:middle}.end{text-anchor:end}.ground{fill:#fff}.grid{stroke:#d8dee4}',
    '.line{fill:none;stroke-width:2}.whisker{stroke-width:1.5;opacity:.6}.dot{stroke:none}',
    colours(LIGHT),
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}',
    `${colours(DARK)}}`,
  ].join('')
}

function text(x: number, y: number, content: string, kind: string): string {
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}">${escaped(content)}</text>`
}

const round = (value: number) => Math.round(value * 10) / 10
/** 12,000 as 12,000 and 0.2 as 0.2, without the dust of binary fractions. */
const figure = (value: number) => Number(value.toPrecision(6)).toLocaleString('en-GB')
const escaped = (content: string) =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
