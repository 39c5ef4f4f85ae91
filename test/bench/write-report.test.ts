import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { type Report, textOf } from '../../bench/tables.ts'
import { writeReport } from '../../bench/write-report.ts'

const REPORT: Report = {
  name: 'trial',
  title: 'A trial',
  notes: ['of two servers'],
  tables: [
    {
      title: 'Rates',
      notes: ['per second'],
      header: ['server', 'rate'],
      rows: [
        ['a|b', '12'],
        ['c', '3,400'],
      ],
    },
    { title: 'Only words', notes: ['nothing to tabulate'], header: [], rows: [] },
  ],
  charts: [
    {
      name: 'rate',
      chart: {
        title: 'Rates',
        xLabel: 'at once',
        yLabel: '1/s',
        x: ['1', '2'],
        yScale: 'linear',
        series: [{ name: 'a', points: [{ y: 1 }, { y: 2 }] }],
      },
    },
  ],
}

test('a report is written as JSON, as a page with its plots, and told as text', async (t) => {
  const folder = join(t.testdir(), 'not/there/yet')
  const figures = { rate: 12 }
  const files = await writeReport(folder, REPORT, figures)
  t.strictSame((await readdir(folder)).sort(), ['trial-figures.md', 'trial-rate.svg', 'trial.json'])
  t.strictSame(files.length, 3)
  t.strictSame(JSON.parse(await readFile(join(folder, 'trial.json'), 'utf8')), figures)
  const page = await readFile(join(folder, 'trial-figures.md'), 'utf8')
  t.match(
    page,
    '**Rates**\n\n- per second\n\n| server | rate |\n| --- | --: |\n| a\\|b | 12 |\n| c | 3,400 |\n',
  )
  t.match(page, '![Rates](trial-rate.svg)')
  t.match(await readFile(join(folder, 'trial-rate.svg'), 'utf8'), /^<svg .*\n.*<\/svg>\n$/s)
  t.match(
    textOf(REPORT),
    '  server   rate\n  a|b        12\n  c       3,400\n\nOnly words\n  nothing to tabulate',
  )
})
