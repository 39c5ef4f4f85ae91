import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lineChart } from './line-chart.ts'
import { markdownOf, type Report } from './tables.ts'

/**
 * Writes NAME.json, NAME-figures.md and a NAME-PLOT.svg for each plot.
 *
 * @param figures what goes into the JSON file.
 * @returns the files.
 */
export async function writeReport(folder: string, report: Report, figures: unknown): Promise<string[]> {
  const files: [string, string][] = [
    [`${report.name}.json`, `${JSON.stringify(figures, null, 2)}\n`],
    [`${report.name}-figures.md`, markdownOf(report)],
    ...report.charts.map(
      ({ name, chart }) => [`${report.name}-${name}.svg`, lineChart(chart)] as [string, string],
    ),
  ]
  await mkdir(folder, { recursive: true })
  for (const [file, content] of files) await writeFile(join(folder, file), content)
  return files.map(([file]) => join(folder, file))
}
