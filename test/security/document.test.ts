import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const ROOT = new URL('../../../', import.meta.url)

/** An unpacked archive has no git to ask: the folders in which our Markdown is. */
const FOLDERS = ['docs/', 'examples/']
const markdownIn = (folder: string, recursive: boolean) =>
  readdirSync(new URL(folder, ROOT), { encoding: 'utf8', recursive })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => folder + name)
const DOCUMENTS = [...markdownIn('./', false), ...FOLDERS.flatMap((folder) => markdownIn(folder, true))]

const proseOf = (place: URL) => readFileSync(place, 'utf8').replaceAll(/^```.*?^```/gms, '')

/** What GitHub makes of its headings. */
const anchorsOf = (place: URL) =>
  [...proseOf(place).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  )

t.test('whatever the documents link to is there', async (t) => {
  t.ok(DOCUMENTS.length > 30, `${DOCUMENTS.length} documents`)
  for (const path of DOCUMENTS) {
    const place = new URL(path, ROOT)
    const links = [...proseOf(place).matchAll(/\]\(([^)\s]+)[^)]*\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => !/^[a-z]+:/.test(link))
    const broken = links.filter((link) => {
      const target = new URL(link, place)
      const anchor = target.hash.slice(1)
      target.hash = ''
      if (!existsSync(target)) return true
      return anchor !== '' && target.pathname.endsWith('.md') && !anchorsOf(target).includes(anchor)
    })
    t.strictSame(broken, [], `${path}: ${links.length} links`)
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
