import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const SRC = fileURLToPath(new URL('../../src/', import.meta.url))

/** A folder may import from itself and from those before it. */
const ORDER = [
  'oauth',
  'tokens',
  'accounts',
  'keys',
  'version.ts',
  'webhooks',
  'audit',
  'stores',
  'config',
  'grants',
  'endpoints',
  'workers',
  'metrics',
  'tracing',
  'http',
  'cli',
  'main.ts',
]

interface Import {
  readonly from: string
  /** A path below src, or the name of a package. */
  readonly of: string
  readonly isOurs: boolean
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(SRC, file), 'utf8') }))

const imports: Import[] = files.flatMap(({ file, text }) =>
  specifiersIn(text).map((specifier) => {
    const isOurs = specifier.startsWith('.')
    return { from: file, of: isOurs ? join(dirname(file), specifier) : specifier, isOurs }
  }),
)

/** What is imported: by `import … from`, `export … from`, `import '…'`, `import('…')` and `new URL('…', import.meta.url)`. */
function specifiersIn(text: string): string[] {
  const patterns = [
    /^(?:import|export)\b[^'";]*?\bfrom\s*'([^']+)'/gm,
    /^import\s*'([^']+)'/gm,
    /\bimport\(\s*'([^']+)'/g,
    /\bnew URL\(\s*'([^']+)',\s*import\.meta\.url/g,
  ]
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string))
}

const folderOf = (path: string) => path.split('/')[0] as string
const placeOf = (path: string) => ORDER.indexOf(folderOf(path))
const described = ({ from, of }: Import) => `${from} imports ${of}`

test('what is looked at is all there is', async (t) => {
  t.strictSame(new Set(files.map(({ file }) => folderOf(file))), new Set(ORDER), 'every folder has its place')
  t.strictSame(
    specifiersIn(
      `import a from 'a'\nimport {\n  b,\n} from './b.ts'\nimport 'c'\nexport * from 'd'\nawait import('e')`,
    ).sort(),
    ['./b.ts', 'a', 'c', 'd', 'e'],
  )
  for (const folder of ORDER)
    t.ok(
      imports.some(({ from }) => folderOf(from) === folder),
      `${folder} imports`,
    )
})

test('a folder imports only from those before it', async (t) => {
  // The version is told from there.
  const ours = imports.filter(({ of, isOurs }) => isOurs && !of.endsWith('/package.json'))
  t.strictSame(
    ours.filter(({ from, of }) => placeOf(of) < 0 || placeOf(of) > placeOf(from)).map(described),
    [],
  )
})

test('oauth and tokens are pure', async (t) => {
  const allowed = ['node:crypto', 'node:util', 'jose']
  const others = imports.filter(
    ({ from, of, isOurs }) => placeOf(from) <= placeOf('tokens') && !isOurs && !allowed.includes(of),
  )
  t.strictSame(others.map(described), [])
})

test('a store knows nothing of the other', async (t) => {
  const between = imports.filter(({ from, of }) => {
    return (
      (from.startsWith('stores/lmdb/') && /redis/.test(of)) ||
      (from.startsWith('stores/redis/') && /lmdb/.test(of))
    )
  })
  t.strictSame(between.map(described), [])
})

test('a package is known to one folder', async (t) => {
  const homes: [packages: RegExp, home: string][] = [
    [/^(@fastify\/|fastify$)/, 'http/'],
    [/^ioredis$/, 'stores/redis/'],
    [/^lmdb$/, 'stores/lmdb/'],
    [/^(piscina|@node-rs\/(argon2|bcrypt)|@zxcvbn-ts\/language-common)$/, 'accounts/'],
    [/^csv-parse$/, 'cli/'],
    [/^cockatiel$/, 'webhooks/'],
    [/^@opentelemetry\//, 'tracing/'],
    [/^@platformatic\/prom-client$/, 'metrics/'],
  ]
  for (const [packages, home] of homes) {
    const users = imports.filter(({ of }) => packages.test(of))
    t.ok(users.length > 0, `${packages} is used`)
    t.strictSame(
      users.filter(({ from }) => !from.startsWith(home)).map(described),
      [],
      `only ${home} knows ${packages}`,
    )
  }
})

test('main.ts alone reads the environment, standard input and signals', async (t) => {
  const reads = /\bprocess\s*\.\s*(?:env|stdin|on|once)\b|\bprocess\s*\[|\benv\b[^'"\n]*\bfrom 'node:process'/
  t.strictSame(
    files.filter(({ text }) => reads.test(text)).map(({ file }) => file),
    ['main.ts'],
  )
})
