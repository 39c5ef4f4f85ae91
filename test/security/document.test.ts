import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'

const ROOT = new URL('../../../', import.meta.url)

/** The documents that name what shows a claim. */
const DOCUMENTS = ['docs/security.md', 'SECURITY.md', 'docs/decisions/0018-damaged-records.md']

t.test('whatever the security documents name is there', async (t) => {
  for (const path of DOCUMENTS) {
    const place = new URL(path, ROOT)
    const links = [...readFileSync(place, 'utf8').matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(
      ([, link = '']) => link,
    )
    t.strictSame(
      links.filter((link) => !existsSync(new URL(link, place))),
      [],
      `${path}: ${links.length} links`,
    )
  }
})

t.test('every row of the table of what is stolen names a test', async (t) => {
  const [, section = ''] = readFileSync(new URL('docs/security.md', ROOT), 'utf8').split(
    /^## What is stolen/m,
  )
  const rows = (section.split('\n## ')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
  t.ok(rows.length >= 12, `${rows.length} rows`)
  for (const row of rows) t.match(row.split('|').at(-2), /\]\(\.\.\/test\/[^)]+\.ts\)/, row.slice(0, 60))
})
