import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { count } from '../support/count.ts'

const ROOT = new URL('../../../', import.meta.url)

interface Package {
  readonly version: string
  readonly license?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly integrity?: string
  readonly hasInstallScript?: boolean
}
const lock = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8')) as {
  readonly packages: Readonly<Record<string, Package>>
}
const production = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev)

/** Who takes one of these may use it in a closed product, and owes a notice at most. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
])

/** Both look for a prebuilt binary, which comes with them, and compile only where there is none. */
const WITH_INSTALL_SCRIPT = ['node_modules/lmdb', 'node_modules/msgpackr-extract']

t.test('every package of production has a permissive licence and a digest', async (t) => {
  t.ok(production.length > 50, `${production.length} packages`)
  t.strictSame(
    production.filter(([, { license = 'none' }]) => !PERMISSIVE.has(license)).map(([path]) => path),
    [],
  )
  // Of the binaries for other platforms the lockfile has only the version, where it was written on this one.
  const without = production.filter(
    ([, { integrity, optional }]) => !integrity?.startsWith('sha512-') && !optional,
  )
  t.strictSame(
    without.map(([path]) => path),
    [],
  )
  count(t, { what: 'production packages', number: production.length })
})

t.test('nothing of production runs at install but what is known to', async (t) => {
  const running = production.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)
  t.strictSame(running, WITH_INSTALL_SCRIPT)
})

t.test('the bill of materials is complete, and says nothing of this machine', async (t) => {
  const { code, stdout } = await run('sbom.mjs', [])
  t.equal(code, 0)
  const bom = JSON.parse(stdout)
  t.match(bom, { bomFormat: 'CycloneDX', metadata: { component: { name: 'pawl', type: 'application' } } })
  const listed = new Set(bom.components.map(({ purl }: { purl: string }) => decodeURIComponent(purl)))
  const named = production.map(([path, { version }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    return `pkg:npm/${name}@${version}`
  })
  t.strictSame(
    named.filter((purl) => !listed.has(purl)),
    [],
    `${listed.size} components`,
  )
  t.equal(listed.size, new Set(named).size, 'and nothing that is for development only')
  t.notOk(stdout.includes(fileURLToPath(ROOT).slice(0, -1)), 'no path')
  const hosts = new Set([...stdout.matchAll(/https?:\/\/([^/"]+)/g)].map(([, host]) => host))
  t.strictSame([...hosts], ['cyclonedx.org'], 'no registry')
})

t.test('the audit', async (t) => {
  const { version = '' } = lock.packages['node_modules/fastify'] ?? {}
  const advisory = (severity: string) => ({
    fastify: [
      {
        id: 1,
        url: 'https://example.com/1',
        title: 'A fault',
        severity,
        vulnerable_versions: `<=${version}`,
      },
    ],
  })
  const asked: string[] = []
  const caches = t.testdir()
  const cases: [name: string, answer: object | undefined, args: string[], code: number, says: RegExp][] = [
    ['a moderate one', advisory('moderate'), [], 0, /moderate: fastify/],
    ['a critical one', advisory('critical'), [], 1, /critical: fastify .*A fault https:\/\/example.com\/1/],
    ['no answer', undefined, [], 0, /NOT AUDITED/],
  ]
  await Promise.all(
    cases.map(async ([name, answer, args, code, says], i) => {
      const registry = await startRegistry(t, answer, (body) => asked.push(body))
      // npm keeps what it once heard of an advisory.
      const env = { npm_config_registry: registry, npm_config_cache: join(caches, String(i)) }
      const result = await run('audit.mjs', args, env)
      t.equal(result.code, code, name)
      t.match(result.stdout + result.stderr, says, name)
    }),
  )
  t.ok(
    asked.length >= 2 && asked.every((body) => body.includes('"fastify"')),
    'production is what is asked about',
  )
  t.notOk(
    asked.some((body) => body.includes('"typescript"')),
    'and nothing else',
  )
})

/** A registry that has only the endpoint for advisories; with no answer it has not even that. */
async function startRegistry(t: Test, answer: object | undefined, onAsked: (body: string) => void) {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      if (request.method !== 'POST' || !request.url?.endsWith('/advisories/bulk') || !answer) {
        response.writeHead(405).end()
        return
      }
      onAsked((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString())
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

function run(script: string, args: string[], env: Record<string, string> = {}) {
  const path = fileURLToPath(new URL(`scripts/${script}`, ROOT))
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      [path, ...args],
      { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    )
  })
}
