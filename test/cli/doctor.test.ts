import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { runCli } from '../support/processes.ts'
import { startCluster, startRedis } from '../support/redis.ts'
import { runHere } from '../support/run-here.ts'

interface Finding {
  readonly level: string
  readonly subject: string
  readonly says: string
  readonly mend?: string
}

const ISSUER = 'https://auth.example'

/** What the doctor finds, with as many faults as its exit code says. */
async function examine(t: Test, env: Record<string, string>, ...options: string[]): Promise<Finding[]> {
  const KEYS_DIR = join(t.testdirName, 'keys')
  const { code, stdout, stderr } = await runHere(['doctor', '--json', ...options], { KEYS_DIR, ...env })
  t.equal(stderr, '')
  const found = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Finding)
  t.equal(code, found.some(({ level }) => level === 'fault') ? 1 : 0, 'exit code')
  for (const { level, mend, says } of found) if (level === 'fault') t.ok(mend, `the mend of: ${says}`)
  return found
}

const faults = (found: readonly Finding[]) => found.filter(({ level }) => level === 'fault')

function has(t: Test, found: readonly Finding[], level: string, says: RegExp): void {
  t.ok(
    found.some((finding) => finding.level === level && says.test(finding.says)),
    `${level}: ${says}`,
    { found },
  )
}

for (const kind of STORE_KINDS) {
  t.test(`a deployment in order, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { redis: { aof: true } })
    await deployment.addAccount('ada')
    const server = await deployment.startServer({ ISSUER, TRUST_PROXY: '10.0.0.0/8' })
    const more = { ISSUER, TRUST_PROXY: '10.0.0.0/8' }
    const well = await deployment.cli(['doctor', '--url', server.url], '', more)
    t.match(well, { code: 0, stderr: '' })
    for (const line of well.stdout.trim().split('\n')) t.match(line, /^ok {5}\S+: /, line)
    t.match(well.stdout, kind === 'redis' ? /appendonly yes, appendfsync everysec/ : /can be written/)
    t.match(well.stdout, /jwks\.json has the key that signs/)

    const other = await deployment.cli(['doctor', '--url', server.url], '', {
      ...more,
      ISSUER: `${ISSUER}/x`,
    })
    t.match(other, { code: 1, stdout: /^fault {2}--url: .*answers 404/m }, 'another issuer than the server’s')
    await server.stop()
    const gone = await deployment.cli(['doctor', '--url', server.url], '', more)
    t.match(gone, { code: 1, stdout: /^fault {2}--url: .*Start the server/m })
  })
}

t.test('a bad configuration: every fault, one line each', async (t) => {
  const { code, stdout, stderr } = await runHere(['doctor'], { PORT: 'x', ISSUER: 'http://a.example' })
  t.strictSame([code, stderr], [1, ''])
  t.strictSame(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.slice(0, 14)),
    ['fault  PORT: m', 'fault  ISSUER: '.slice(0, 14)],
  )
})

t.test('a configuration that is not meant', async (t) => {
  const store = `lmdb:${join(t.testdir(), 'data')}`
  const env = {
    STORE_URL: store,
    ISSUER,
    MANAGEMENT_HOST: '0.0.0.0',
    REFRESH_TOKEN_GRACE: '0',
    WORKERS: '256',
  }
  const found = await examine(t, env)
  t.strictSame(faults(found), [])
  const notes = found.filter(({ level }) => level === 'note').map(({ subject }) => subject)
  t.strictSame(
    notes.sort(),
    ['KEYS_DIR', 'MANAGEMENT_HOST', 'REFRESH_TOKEN_GRACE', 'STORE_URL', 'TRUST_PROXY', 'WORKERS'],
    'one note each',
  )
  has(t, await examine(t, { STORE_URL: store }), 'note', /is for this machine alone/)
})

t.test('key files', async (t) => {
  const cwd = t.testdir()
  const env = { KEYS_DIR: join(cwd, 'keys'), STORE_URL: `lmdb:${join(cwd, 'data')}` }
  await runHere(['keys', 'generate'], env)
  await runHere(['keys', 'generate', '--use', 'refresh'], env)
  t.strictSame(faults(await examine(t, env)), [])
  chmodSync(env.KEYS_DIR, 0o755)
  const found = faults(await examine(t, env))
  t.match(found, [{ subject: 'KEYS_DIR', says: /mode 755/, mend: /^Close it: chmod 700 / }])
})

t.test('the embedded store', async (t) => {
  const cwd = t.testdir()
  const data = join(cwd, 'data')
  mkdirSync(data, { mode: 0o755 })
  has(t, await examine(t, { STORE_URL: `lmdb:${data}` }), 'note', /open to other users/)
  writeFileSync(join(data, 'data.mdb'), 'x'.repeat(8192))
  has(t, await examine(t, { STORE_URL: `lmdb:${data}` }), 'fault', /data\.mdb is damaged/)
  const none = await examine(t, { STORE_URL: `lmdb:${join(data, 'data.mdb', 'data')}` })
  has(t, none, 'fault', /cannot be written \(ENOTDIR\)/)
})

t.test('a Redis that forgets', async (t) => {
  const redis = await startRedis({
    config: ['--maxmemory', '1500kb', '--maxmemory-policy', 'allkeys-lru', '--maxmemory-clients', '0'],
  })
  t.teardown(() => redis.stop())
  const env = { STORE_URL: redis.url, REDIS_WAIT_REPLICAS: '1' }
  const found = await examine(t, env)
  has(t, found, 'fault', /nothing is written to disk/)
  has(t, found, 'fault', /maxmemory-policy allkeys-lru/)
  has(t, found, 'fault', /0 replicas are connected, and every sign-in waits for 1/)
  t.ok(
    found.some(({ says }) => /% of maxmemory is used/.test(says)),
    'memory',
  )
  const meant = await examine(t, env, '--allow-volatile')
  has(t, meant, 'note', /nothing is written to disk/)

  await redis.cli('CONFIG', 'SET', 'save', '60 1')
  has(t, await examine(t, env), 'note', /snapshots are written, no append-only file/)
  await redis.cli('CONFIG', 'SET', 'save', '')
  await redis.cli('CONFIG', 'SET', 'appendonly', 'yes')
  await redis.cli('CONFIG', 'SET', 'appendfsync', 'no')
  has(t, await examine(t, env), 'note', /appendfsync no/)
})

t.test('a Redis whose CONFIG is forbidden', async (t) => {
  const redis = await startRedis({ aof: true, config: ['--rename-command', 'CONFIG', ''] })
  t.teardown(() => redis.stop())
  const found = await examine(t, { STORE_URL: redis.url })
  t.strictSame(faults(found), [])
  has(t, found, 'note', /CONFIG GET is not allowed/)
  t.match(found.find(({ says }) => /CONFIG GET/.test(says))?.mend, /redis-cli CONFIG GET save/)
  has(t, found, 'ok', /^appendonly yes$/)
})

t.test('a Redis that is a replica, one with a password, one that is silent, and none', async (t) => {
  const primary = await startRedis({ aof: true, password: 'hunter2' })
  const replica = await startRedis({
    aof: true,
    config: ['--replicaof', '127.0.0.1', String(primary.port), '--masterauth', 'hunter2'],
  })
  t.teardown(async () => {
    await replica.stop()
    await primary.stop()
  })
  has(t, await examine(t, { STORE_URL: replica.url }), 'fault', /it is a replica/)
  const wrong = await examine(t, { STORE_URL: `redis://:hunter3@127.0.0.1:${primary.port}` })
  has(t, wrong, 'fault', /does not answer|answers with an error/)
  t.notMatch(JSON.stringify(wrong), /hunter/)
  replica.pause()
  t.teardown(() => replica.resume())
  has(t, await examine(t, { STORE_URL: replica.url }), 'fault', /does not answer|answers with an error/)
  has(t, await examine(t, { STORE_URL: 'redis://127.0.0.1:1' }), 'fault', /does not answer \(ECONNREFUSED\)/)
})

t.test('a clock that is off', async (t) => {
  const redis = await startRedis({ aof: true })
  t.teardown(() => redis.stop())
  for (const [seconds, level] of [
    [5, 'note'],
    [-60, 'fault'],
  ] as const) {
    const cwd = t.testdir({ 'clock.mjs': `const now = Date.now; Date.now = () => now() + ${1000 * seconds}` })
    const env = { STORE_URL: redis.url, NODE_OPTIONS: `--import=${join(cwd, 'clock.mjs')}` }
    const { stdout } = await runCli(['doctor', '--json'], { env, cwd })
    const says = seconds > 0 ? /clock is \d+\.\d s behind this one/ : /clock is \d+\.\d s ahead of this one/
    has(
      t,
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
      level,
      says,
    )
  }
})

t.test('a Redis Cluster', async (t) => {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  const found = await examine(t, { STORE_URL: cluster.url }, '--allow-volatile')
  t.strictSame(faults(found), [])
  has(t, found, 'ok', /cluster state ok, 16384 of 16384 slots/)
  t.equal(found.filter(({ says }) => /^Redis \d/.test(says)).length, 3, 'each of its primaries')
  const [node] = cluster.nodes
  has(t, await examine(t, { STORE_URL: node?.url ?? '' }), 'fault', /is a node of a Redis Cluster/)
})
