import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { auditEvent, auditEvents, deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, signIn, tryRefresh } from '../support/http-client.ts'
import { freePort, runCli, type ServerProcess, startServer } from '../support/processes.ts'
import { runHere } from '../support/run-here.ts'
import { until } from '../support/until.ts'

const VARIABLES = [
  'HOST',
  'PORT',
  'ISSUER',
  'MANAGEMENT_HOST',
  'MANAGEMENT_PORT',
  'STORE_URL',
  'REDIS_WAIT_REPLICAS',
  'KEYS_DIR',
  'KEY_ROTATION_INTERVAL',
  'ACCESS_TOKEN_TTL',
  'REFRESH_TOKEN_IDLE_TTL',
  'REFRESH_TOKEN_MAX_TTL',
  'REFRESH_TOKEN_GRACE',
  'SIGNING_ALG',
  'DEFAULT_AUDIENCE',
  'TRUST_PROXY',
  'LOG_LEVEL',
  'VERIFY_WEBHOOK_URL',
  'VERIFY_WEBHOOK_SECRET',
  'AUDIT_LOG',
  'AUDIT_STREAM_LENGTH',
  'AUDIT_WEBHOOK_URL',
  'AUDIT_WEBHOOK_SECRET',
  'WORKERS',
  'MAX_SESSIONS_PER_USER',
  'SIGN_IN_FAILURES_PER_ACCOUNT',
  'SIGN_IN_FAILURES_PER_NETWORK',
  'SIGN_IN_FAILURES_IN_TOTAL',
  'SIGN_IN_FAILURE_WINDOW',
  'PASSWORD_MIN_LENGTH',
  'SEED_FILE',
]
type Environment = Record<string, string>
const check = (env: Environment) => runHere(['serve', '--check-config'], env)

t.test('serve --check-config', async (t) => {
  t.test('the effective configuration', async (t) => {
    const { code, stdout, stderr } = await runCli(['serve', '--check-config'])
    t.strictSame([code, stderr], [0, ''])
    const lines = new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/=(.*)/s) as [string, string]),
    )
    t.strictSame([...lines.keys()].sort(), [...VARIABLES].sort())
    t.match(Object.fromEntries(lines), {
      ISSUER: 'http://localhost:9000',
      HOST: '127.0.0.1',
      STORE_URL: 'lmdb:./data',
      ACCESS_TOKEN_TTL: '300',
      REFRESH_TOKEN_IDLE_TTL: '1209600',
      REFRESH_TOKEN_MAX_TTL: '7776000',
      REFRESH_TOKEN_GRACE: '30',
      DEFAULT_AUDIENCE: 'http://localhost:9000',
      LOG_LEVEL: 'info',
    })
    const other = await check({ PORT: '8080', ISSUER: 'https://auth.example/x' })
    t.match(other.stdout, /^DEFAULT_AUDIENCE=https:\/\/auth\.example\/x$/m)
  })

  t.test('secrets are redacted', async (t) => {
    for (const [url, shown] of [
      ['redis://:hunter2@h:1/3', 'redis://***@h:1/3'],
      ['rediss://user:hunter2@h', 'rediss://***@h'],
      [
        'redis-sentinel://u:hunter2@a:1,b:2/main?sentinel_password=hunter2',
        'redis-sentinel://***@a:1,b:2/main?***',
      ],
      ['redis-cluster://:hunter2@a:1,b:2', 'redis-cluster://***@a:1,b:2'],
    ] as const) {
      const { code, stdout, stderr } = await check({ STORE_URL: url })
      t.equal(code, 0, stderr)
      t.ok(stdout.includes(`STORE_URL=${shown}\n`), shown)
      t.notMatch(stdout + stderr, /hunter2/)
    }
  })

  t.test('values from files', async (t) => {
    const cwd = t.testdir({ url: 'redis://:hunter2@h:1\n' })
    const { code, stdout } = await check({ STORE_URL_FILE: join(cwd, 'url') })
    t.match({ code, stdout }, { code: 0, stdout: /^STORE_URL=redis:\/\/\*\*\*@h:1$/m })
    const both = await check({ STORE_URL_FILE: join(cwd, 'url'), STORE_URL: 'lmdb:x' })
    t.match(both, { code: 78, stdout: '', stderr: /^STORE_URL and STORE_URL_FILE are both given/ })
    const none = await check({ STORE_URL_FILE: join(cwd, 'nothing') })
    t.match(none, { code: 78, stderr: /^STORE_URL cannot be read.*STORE_URL_FILE.*ENOENT/ })
  })
})

t.test('a bad configuration: every fault at once, and 78', async (t) => {
  const env = {
    PORT: '99999',
    HOST: 'not a host',
    ISSUER: 'http://auth.example',
    STORE_URL: 'mysql://hunter2@h',
    REDIS_WAIT_REPLICAS: '-1',
    ACCESS_TOKEN_TTL: '5m',
    REFRESH_TOKEN_IDLE_TTL: '0',
    REFRESH_TOKEN_GRACE: 'x',
    DEFAULT_AUDIENCE: 'a b',
    TRUST_PROXY: '10.0.0.0/99',
    LOG_LEVEL: 'loud',
    WORKERS: '0',
    MANAGEMENT_PORT: '',
  }
  const results = [
    await runCli(['serve'], { env }),
    await runHere(['serve', '--check-config'], env),
    await runHere(['user', 'list'], env),
    await runHere(['healthcheck'], env),
  ]
  for (const { code, stdout, stderr } of results) {
    t.strictSame([code, stdout], [78, ''])
    const named = stderr
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0])
    t.strictSame(named.sort(), Object.keys(env).sort(), 'one line for each, its name first')
    t.notMatch(stderr, /hunter2/)
  }
})

t.test('single faults', async (t) => {
  const rows: [env: Environment, says: RegExp][] = [
    [{ ISSUER: 'nothing' }, /^ISSUER must be a URL/],
    [{ ISSUER: 'https://a.example?x' }, /^ISSUER must have no query/],
    [{ ISSUER: 'https://a.example#x' }, /^ISSUER must have no query and no fragment/],
    [{ ISSUER: 'https://a.example/' }, /^ISSUER must be written plainly.*https:\/\/a\.example$/m],
    [{ ISSUER: 'https://A.example' }, /^ISSUER must be written plainly.*https:\/\/a\.example$/m],
    [{ ISSUER: 'https://u:hunter2@a.example' }, /^ISSUER must hold no credentials/],
    [{ ISSUER: 'ftp://localhost' }, /^ISSUER must be https/],
    [{ PORT: '0' }, /^ISSUER must be given when PORT is 0/],
    [{ PORT: '9001' }, /^MANAGEMENT_PORT is also PORT/],
    [{ REFRESH_TOKEN_IDLE_TTL: '20', REFRESH_TOKEN_MAX_TTL: '10' }, /^REFRESH_TOKEN_IDLE_TTL is longer than/],
    [{ STORE_URL: 'lmdb:' }, /^STORE_URL names no folder/],
    [{ STORE_URL: 'redis://a:1,b:2' }, /^STORE_URL names several hosts/],
    [{ STORE_URL: 'redis://:hunter2@a:x' }, /^STORE_URL has a host that is not/],
    [{ STORE_URL: 'redis-sentinel://a:1' }, /^STORE_URL names no primary/],
    [{ STORE_URL: 'redis-cluster://a:1/2' }, /^STORE_URL names a database/],
    [{ STORE_URL: 'redis://:%zz@h' }, /^STORE_URL has a bad percent escape/],
  ]
  await Promise.all(
    rows.map(async ([env, says]) => {
      const { code, stdout, stderr } = await check(env)
      t.match({ code, stdout, stderr }, { code: 78, stdout: '', stderr: says }, JSON.stringify(env))
      t.notMatch(stderr, /hunter2/)
      t.equal(stderr.trim().split('\n').length, 1, 'one line')
    }),
  )
  const good = ['http://localhost:1', 'http://127.0.0.1:1/x', 'http://[::1]:1', 'https://a.example/x/y']
  for (const ISSUER of good) t.equal((await check({ ISSUER })).code, 0, ISSUER)
})

t.test('a start that fails: 1, and what to do', async (t) => {
  const cwd = t.testdir()
  const port = await freePort()
  const taken = createServer().listen(port, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const free = String(await freePort())
  for (const ports of [
    { PORT: String(port), MANAGEMENT_PORT: free },
    { PORT: free, MANAGEMENT_PORT: String(port) },
  ]) {
    const busy = await runCli(['serve'], { env: ports, cwd })
    t.match(busy, { code: 1, stderr: /EADDRINUSE.*Stop what listens there/ })
    t.notMatch(busy.stderr, /\n +at /, 'no stack')
  }

  writeFileSync(join(cwd, 'file'), 'x')
  const noFolder = await runCli(['serve'], { env: { STORE_URL: 'lmdb:./file', PORT: free }, cwd })
  t.equal(noFolder.code, 1, 'a store that is no folder')
  t.match(noFolder.stderr, /file/, 'says which')
  t.notMatch(noFolder.stderr, /\n +at /, 'no stack')

  const noStore = await runCli(['client', 'list'], { env: { STORE_URL: 'redis://127.0.0.1:1' }, cwd })
  t.match(
    noStore,
    { code: 1, stdout: '', stderr: /STORE_URL does not answer \(ECONNREFUSED\)/ },
    'a command without a store',
  )
})

t.test('a start that fails ends, whatever is open by then', async (t) => {
  const { cli } = await deploy(t, 'redis')
  const ports = { PORT: String(await freePort()), MANAGEMENT_PORT: String(await freePort()) }
  const result = await cli(['serve'], '', { ...ports, AUDIT_LOG: '/proc/audit.log' })
  t.match(result, { code: 1, stderr: /AUDIT_LOG \/proc\/audit.log cannot be opened/ })
})

t.test('what it serves is what it was told', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer({
    ISSUER: 'https://auth.example',
    LOG_LEVEL: 'error',
    ACCESS_TOKEN_TTL: '60',
  })
  const { access_token, expires_in } = await signIn(server.url, ada)
  t.equal(claimsOf(access_token).iss, 'https://auth.example')
  t.equal(expires_in, 60)
  await auditEvent(server, 'sign_in.succeeded')
  t.equal(server.lines.length, auditEvents(server).length, 'LOG_LEVEL: audit events, and nothing else')
})

for (const kind of STORE_KINDS) {
  t.test(`a store in which no client is registered, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const warnings = ({ lines }: ServerProcess) =>
      lines.filter((line) => line.includes('no client is registered'))
    const empty = await deployment.startServer()
    await until('the log says so', () => warnings(empty).length === 1)
    await deployment.addClient('app')
    await deployment.closeStore()
    const other = await deployment.startServer()
    // By then it has asked the store after its start.
    await tryRefresh(other.url, 'none', { client_id: 'app' })
    t.equal(await other.stop(), 0)
    t.strictSame(warnings(other), [])
    t.equal(await empty.stop(), 0)
    t.equal(warnings(empty).length, 1, 'once')
  })
}

t.test('healthcheck', async (t) => {
  const server = await startServer()
  t.teardown(() => server.stop())
  const env = { PORT: String(server.port), MANAGEMENT_PORT: String(server.managementPort) }
  t.match(await runCli(['healthcheck'], { env }), { code: 0, stdout: 'ready\n', stderr: '' })
  t.match(await runCli(['healthcheck'], { env: { ...env, MANAGEMENT_HOST: '0.0.0.0' } }), { code: 0 })
  await server.stop()
  t.match(await runCli(['healthcheck'], { env }), { code: 1, stdout: '', stderr: /No server answers at/ })
})
