/** A line of a chart. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface LineChart {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
  /** A logarithmic x axis, marked at powers of ten. */
  readonly logX?: boolean
}

const WIDTH = 720
const HEIGHT = 400
const LEFT = 64
const RIGHT = 190
const TOP = 40
const BOTTOM = 48
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000']

/** @returns an SVG document that needs nothing else: white ground, the y axis from 0. */
export function lineChart({ title, xLabel, yLabel, series, logX = false }: LineChart): string {
  const points = series.flatMap(({ points }) => points)
  const xs = points.map(([x]) => (logX ? Math.log10(x) : x))
  const [least, most] = [Math.min(...xs), Math.max(...xs)]
  const yTicks = ticksUpTo(Math.max(...points.map(([, y]) => y)))
  const yMost = yTicks.at(-1)!
  const across = WIDTH - LEFT - RIGHT
  const up = HEIGHT - TOP - BOTTOM
  const xOf = (x: number) => LEFT + (((logX ? Math.log10(x) : x) - least) / (most - least || 1)) * across
  const yOf = (y: number) => TOP + up - (y / yMost) * up
  const xTicks = logX ? powersOfTen(least, most) : ticksUpTo(most).filter((x) => x >= least && x <= most)

  const text = (x: number, y: number, anchor: string, content: string, more = '') =>
    `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${more}>${escaped(content)}</text>`
  const grid = [
    ...yTicks.flatMap((y) => [
      `<line x1="${LEFT}" x2="${LEFT + across}" y1="${round(yOf(y))}" y2="${round(yOf(y))}" stroke="#ddd"/>`,
      text(LEFT - 8, yOf(y) + 4, 'end', shown(y)),
    ]),
    ...xTicks.flatMap((x) => [
      `<line x1="${round(xOf(x))}" x2="${round(xOf(x))}" y1="${TOP + up}" y2="${TOP + up + 5}" stroke="#888"/>`,
      text(xOf(x), TOP + up + 20, 'middle', shown(x)),
    ]),
  ]
  const lines = series.flatMap(({ name, points }, i) => {
    const colour = COLOURS[i % COLOURS.length]
    const y = TOP + 14 + 20 * i
    return [
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points
        .map(([x, y]) => `${round(xOf(x))},${round(yOf(y))}`)
        .join(' ')}"/>`,
      ...points.map(
        ([x, y]) => `<circle cx="${round(xOf(x))}" cy="${round(yOf(y))}" r="3" fill="${colour}"/>`,
      ),
      `<line x1="${WIDTH - RIGHT + 14}" x2="${WIDTH - RIGHT + 34}" y1="${y - 4}" y2="${y - 4}" stroke="${colour}" stroke-width="2"/>`,
      text(WIDTH - RIGHT + 40, y, 'start', name),
    ]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 22, 'start', title, ' font-size="15" font-weight="bold"'),
    ...grid,
    text(LEFT + across / 2, HEIGHT - 8, 'middle', xLabel),
    text(14, TOP + up / 2, 'middle', yLabel, ` transform="rotate(-90 14 ${TOP + up / 2})"`),
    ...lines,
    '</svg>',
    '',
  ].join('\n')
}

/** From 0 in steps of 1, 2 or 5 times a power of ten, about five of them, to the first at or beyond `most`. */
function ticksUpTo(most: number): number[] {
  if (!(most > 0)) return [0, 1]
  const rough = most / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough)!
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => i * step)
}

function powersOfTen(least: number, most: number): number[] {
  const first = Math.ceil(least - 1e-9)
  return Array.from({ length: Math.floor(most + 1e-9) - first + 1 }, (_, i) => 10 ** (first + i))
}

const shown = (value: number) =>
  value >= 1000 ? value.toLocaleString('en') : String(Number(value.toPrecision(6)))
const round = (value: number) => Math.round(value * 10) / 10
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
