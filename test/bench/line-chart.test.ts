import { test } from 'tap'
import { type LineChart, lineChart } from '../../bench/line-chart.ts'

const CHART: LineChart = {
  title: 'Refreshes & <more>',
  xLabel: 'refreshes at once',
  yLabel: 'refreshes/s',
  x: ['1', '16', '64'],
  yScale: 'linear',
  series: [
    { name: 'one', points: [{ y: 900, min: 850, max: 1000 }, { y: 2000 }, { y: 1500 }] },
    { name: '"two"', points: [{ y: 100 }, null, { y: 300 }] },
  ],
}

/** Tags that are opened and not closed, or closed and not opened, in order. */
function unbalancedIn(svg: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, closes, name = '', itself] of svg.matchAll(
    /<(\/?)([a-z]+)(?:\s+[a-z:A-Z-]+="[^"<>]*")*(\/?)>/g,
  )) {
    if (itself) continue
    if (!closes) open.push(name)
    else if (open.pop() !== name) wrong.push(name)
  }
  return [...wrong, ...open]
}

const numbersOf = (svg: string, attribute: string) =>
  [...svg.matchAll(new RegExp(` ${attribute}="([^"]*)"`, 'g'))].map((match) => Number(match[1]))
const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1])
/** Heights of the dots on the lines; those of the legend come last, one for each series. */
const dotsOf = (svg: string, ofLegend: number) => {
  const all = [...svg.matchAll(/<circle class="dot s(\d)" cx="([^"]+)" cy="([^"]+)"/g)]
  return all.slice(0, all.length - ofLegend).map(([, series, x, y]) => ({
    series: Number(series),
    x: Number(x),
    y: Number(y),
  }))
}

test('a chart is well-formed, names its axes and lines, and says nothing as markup', async (t) => {
  const svg = lineChart(CHART)
  t.strictSame(unbalancedIn(svg), [])
  t.strictSame(
    svg.match(/[<>]/g)?.length,
    2 * (svg.match(/<\/?[a-z][^<>]*>/g)?.length ?? 0),
    'no stray < or >',
  )
  const texts = textsOf(svg)
  for (const text of ['refreshes at once', 'refreshes/s', '1', '16', '64', 'one', '&quot;two&quot;'])
    t.ok(texts.includes(text), text)
  t.ok(texts.includes('Refreshes &amp; &lt;more&gt;'))
  t.match(svg, /prefers-color-scheme:dark/)
  t.notMatch(svg, /NaN|undefined|Infinity/)
})

test('figures are drawn where they belong', async (t) => {
  const svg = lineChart(CHART)
  const dots = dotsOf(svg, 2)
  t.strictSame(
    dots.map(({ series }) => series),
    [0, 0, 0, 1, 1],
    'nothing is drawn where there is no figure',
  )
  const [a, b, c, d] = dots.map(({ y }) => y) as [number, number, number, number]
  t.ok(b < c && c < a && a < d, 'more is higher')
  t.equal(Math.round((a - b) / (a - c)), Math.round((2000 - 900) / (1500 - 900)), 'in proportion')
  t.equal(svg.match(/class="whisker/g)?.length, 1, 'only a figure with a spread has whiskers')
  t.ok(textsOf(svg).includes('2,000'), 'the axis reaches the highest')
  for (const y of numbersOf(svg, 'cy')) t.ok(y >= 48 && y <= 352, `${y} is within the plot`)
})

test('on a logarithmic axis equal ratios are equal distances', async (t) => {
  const points = [{ y: 1 }, { y: 10 }, { y: 100 }]
  const svg = lineChart({ ...CHART, yScale: 'logarithmic', series: [{ name: 'one', points }] })
  const [a, b, c] = dotsOf(svg, 1).map(({ y }) => y) as [number, number, number]
  t.ok(Math.abs(a - b - (b - c)) < 0.2)
  t.ok(['1', '2', '5', '10', '100'].every((tick) => textsOf(svg).includes(tick)))
  const small = [{ y: 0.3 }, { y: 0.3 }, { y: 0.3 }]
  t.ok(
    textsOf(lineChart({ ...CHART, yScale: 'logarithmic', series: [{ name: 's', points: small }] })).includes(
      '0.2',
    ),
  )
})

test('what cannot be drawn is refused', async (t) => {
  const [one] = CHART.series
  const chart = (change: Partial<LineChart>) => () => lineChart({ ...CHART, ...change })
  t.throws(chart({ series: [] }), RangeError)
  t.throws(chart({ series: Array.from({ length: 9 }, () => one!) }), RangeError)
  t.throws(chart({ x: ['1', '16'] }), RangeError, 'a point without a place')
  t.throws(chart({ series: [{ name: 'none', points: [null, null, null] }] }), RangeError)
  const nothing = [{ y: 0 }, { y: 1 }, { y: 2 }]
  t.throws(chart({ yScale: 'logarithmic', series: [{ name: 'zero', points: nothing }] }), RangeError)
  t.throws(chart({ series: [{ name: 'nan', points: [{ y: Number.NaN }, null, null] }] }), RangeError)
  t.doesNotThrow(chart({ series: [{ name: 'zero', points: [{ y: 0 }, { y: 0 }, { y: 0 }] }] }))
})
