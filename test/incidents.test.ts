import { existsSync, readFileSync } from 'node:fs'
import { test } from 'tap'

const ROOT = new URL('../../', import.meta.url)
const DOCUMENT = readFileSync(new URL('docs/incidents.md', ROOT), 'utf8')

/** The rows of its tables, by their cells. */
const rows = DOCUMENT.split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| incident |'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )

test('every incident of docs/incidents.md has a test that shows it', async (t) => {
  t.ok(rows.length > 25, `${rows.length} incidents`)
  for (const cells of rows) {
    t.equal(cells.length, 4, cells.join(' | '))
    const [incident = '', wrong, here, shown = ''] = cells
    t.ok(wrong && here, `${incident}: what went wrong, and what is done`)
    const {
      path = '',
      link,
      title = '',
    } = /^\[`(?<path>[^`]+)`\]\((?<link>[^)]+)\) “(?<title>.+)”$/.exec(shown)?.groups ?? {}
    t.equal(link, `../${path}`, incident)
    const file = new URL(path, ROOT)
    if (!t.ok(path !== '' && existsSync(file), `${incident}: ${path} is there`)) continue
    // As the title of a test, of a row, or of a case of one.
    const titles = [...readFileSync(file, 'utf8').matchAll(/'((?:[^'\\\n]|\\.)+)'|`([^`\n]+)`/g)]
    const isThere = titles.some(([, plain, template]) => {
      const text = plain ?? template?.replace(/, on \$\{kind\}$/, '')
      return text === title
    })
    t.ok(isThere, `${incident}: ${path} has “${title}”`)
  }
})
