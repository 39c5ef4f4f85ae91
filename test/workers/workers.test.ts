import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { auditEvents, type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import { ask, BUSY, postForm, refresh, signIn } from '../support/http-client.ts'
import { childrenOf, freePort, runCli, type ServerProcess, signalChildOf } from '../support/processes.ts'
import { scrape } from '../support/prometheus.ts'
import { until } from '../support/until.ts'
import { startClients } from '../support/virtual-clients.ts'

const CLIENTS = 16

/** Log lines by the process that wrote them. */
function writersOf(server: ServerProcess, says: string): Set<number> {
  const lines = server.lines.filter((line) => line.includes(says))
  return new Set(lines.map((line) => (JSON.parse(line) as { pid: number }).pid))
}

/** One that is stopped while it writes would have the other one wait for the lock. */
async function bothWroteThatTheyStarted(deployment: Deployment): Promise<void> {
  const starts = () =>
    deployment.withStore(async ({ audit }) => {
      let count = 0
      for await (const { record } of audit.list()) if (record.event === 'server.started') count += 1
      return count
    })
  await until('both have written that they started', async () => (await starts()) === 2)
  await deployment.closeStore()
}

for (const kind of STORE_KINDS) {
  t.test(`two workers, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: { WORKERS: '2' }, redis: { aof: true } })
    const ada = await deployment.addAccount('ada')
    const server = await deployment.startServer()
    const { url, managementUrl } = server
    const workers = childrenOf(server.pid)

    t.test('one server, seen from outside', async (t) => {
      t.equal(workers.length, 2)
      const started = await until('it says so', () => server.lines.find((line) => /"started"/.test(line)))
      t.match(JSON.parse(started), { msg: 'started', workers: 2, store: kind, pid: server.pid })
      for (const [path, status] of [
        ['/health/live', 'live'],
        ['/health/ready', 'ready'],
      ] as const) {
        const answer = await ask(managementUrl + path)
        t.match(answer, { status: 200, json: { status }, headers: { 'cache-control': 'no-store' } }, path)
      }
      t.match((await ask(`${managementUrl}/openapi.json`)).json, { openapi: '3.1.0' })
      expectProblem(t, await ask(`${managementUrl}/token`, { method: 'POST' }), 404, 'no tokens there')
      const wrong = await ask(`${managementUrl}/openapi.json`, { method: 'POST', body: 'x' })
      expectProblem(t, wrong, 405, 'a worker’s own answer')
      const env = { PORT: String(server.port), MANAGEMENT_PORT: String(server.managementPort) }
      t.match(await deployment.cli(['healthcheck'], '', env), { code: 0, stdout: 'ready\n' })
    })

    t.test('one population, one metric, one log', async (t) => {
      const sessions = await Promise.all(Array.from({ length: CLIENTS }, () => signIn(url, ada)))
      const clients = startClients([url], 'ada', sessions)
      await clients.eachTurned()
      await clients.stop()
      t.strictSame(clients.refusals, [])
      const labels = { grant_type: 'refresh_token', result: 'ok' }
      const answered = async () => (await scrape(managementUrl)).sum('pawl_token_requests_total', labels)
      await until('all are counted', async () => (await answered()) === clients.turns)
      const counted = await scrape(managementUrl)
      t.equal(counted.sum('pawl_families'), CLIENTS, 'families are not counted twice')
      t.equal(counted.sum('pawl_signing_keys_published'), 1)
      t.equal(counted.sum('pawl_build_info'), 1)
      t.match([counted.sum('pawl_workers_serving'), counted.sum('pawl_workers_ended_total')], [2, 0])
      await until('both wrote', () => writersOf(server, '"msg":"request"').size === 2)
      for (const line of server.lines) t.doesNotThrow(() => JSON.parse(line), 'no line is torn')
      t.ok([...writersOf(server, '"msg":"request"')].every((pid) => workers.includes(pid)))
    })

    t.test('a worker that is killed under load', async (t) => {
      const sessions = await Promise.all(Array.from({ length: CLIENTS }, () => signIn(url, ada)))
      const clients = startClients([url], 'ada', sessions)
      t.teardown(() => clients.stop())
      await clients.eachTurned()
      const killed = signalChildOf(server.pid, 'SIGKILL')
      await clients.eachTurned()
      await until('it is back', () => {
        const now = childrenOf(server.pid)
        return now.length === 2 && !now.includes(killed)
      })
      await until('it serves', async () => (await scrape(managementUrl)).sum('pawl_workers_serving') === 2)
      await clients.eachTurned()
      await clients.stop()
      t.strictSame(
        clients.refusals.map(({ text }) => text),
        [],
        'nobody was signed out',
      )
      t.strictSame(
        auditEvents(server).filter(({ event }) => event === 'refresh.reuse'),
        [],
      )
      const after = await scrape(managementUrl)
      t.equal(after.sum('pawl_workers_ended_total'), 1)
      t.ok(
        server.lines.some((line) => line.includes('"a worker ended"') && line.includes(`"worker":${killed}`)),
      )
    })

    t.test('SIGTERM', async (t) => {
      const { refresh_token } = await signIn(url, ada)
      let isStopping = false
      let servedLate = 0
      const underWay = Array.from({ length: 20 }, async () => {
        const answer = await postForm(`${url}/token`, { grant_type: 'password', ...ada })
        if (isStopping && answer.status === 200) servedLate += 1
        return answer
      })
      await Promise.race(underWay)
      isStopping = true
      const begin = performance.now()
      const stopped = server.stop()
      const unready = await until('it is not ready', async () => {
        const answer = await ask(`${managementUrl}/health/ready`)
        return answer.status === 503 && answer
      })
      expectProblem(t, unready, 503, 'not ready')
      for (const { status, json, ms } of await Promise.all(underWay)) {
        // Whom a slow machine has kept waiting for four seconds is told so, whether it stops or not.
        const isLate = ms > 3900 && json?.detail === BUSY
        t.equal(status, isLate ? 503 : 200, 'what was under way is answered')
      }
      t.ok(servedLate > 0, `${servedLate} were served after the signal`)
      t.equal(await stopped, 0, 'exit code')
      t.ok(performance.now() - begin < 10_000)
      t.match(server.lines.at(-1), /"stopped"/, 'its last line')
      t.equal(server.stderr, '')
      const next = await deployment.startServer({ WORKERS: '1' })
      t.ok(await refresh(next.url, refresh_token, { client_id: 'ada' }), 'one process goes on')
    })
  })
}

t.test('what a worker had counted still counts when it is gone, and once', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  // A busy machine asks some to come again, which is counted as well.
  const ok = { result: 'ok' }
  const counted = async () => (await scrape(server.managementUrl)).sum('pawl_token_requests_total', ok)
  let answered = 0
  const signInOften = async () => {
    await Promise.all(Array.from({ length: CLIENTS }, () => signIn(server.url, ada)))
    answered += CLIENTS
  }
  // Connections stay with the worker that took them: those of before there are two are the first one's for good.
  const bothServe = async () => (await scrape(server.managementUrl)).sum('pawl_workers_serving') === 2
  await until('both serve', bothServe)
  await until('both have something to count', async () => {
    await signInOften()
    return writersOf(server, '"msg":"request"').size === 2
  })
  // What is counted after the last scrape goes with the worker.
  await until('all is counted', async () => (await counted()) === answered)
  for (const killed of childrenOf(server.pid)) {
    process.kill(killed, 'SIGKILL')
    await until('it is gone', () => !childrenOf(server.pid).includes(killed))
    const several = await Promise.all(Array.from({ length: 8 }, counted))
    t.strictSame([...new Set(several)], [answered], 'whoever asks, and however many')
    await until('there is another', () => childrenOf(server.pid).length === 2)
  }
  await until('both serve again', bothServe)
  await signInOften()
  await until('what comes later is added', async () => (await counted()) === answered)
  t.equal(await counted(), answered)
})

t.test('a worker that hangs holds up nobody who asks for the others', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const { pid, managementUrl } = await deployment.startServer()
  await bothWroteThatTheyStarted(deployment)
  const hung = signalChildOf(pid, 'SIGSTOP')
  // Whoever asks the hung one as well waits for 1500 ms each time; a busy machine may make it as long once.
  await until('it is ready without it', async () => {
    const { status, ms } = await ask(`${managementUrl}/health/ready`)
    return status === 200 && ms < 1400
  })
  t.equal((await scrape(managementUrl)).sum('pawl_build_info'), 1, 'the metrics are those of the other')
  process.kill(hung, 'SIGCONT')
})

t.test('a worker that hangs does not keep the server from stopping', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const server = await deployment.startServer()
  await bothWroteThatTheyStarted(deployment)
  signalChildOf(server.pid, 'SIGSTOP')
  const begin = performance.now()
  t.equal(await server.stop(), 0)
  t.ok(performance.now() - begin < 10_000)
  t.equal(server.stderr, '')
})

t.test('nor does one that is just starting', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  // A worker that stops by itself says so there.
  const server = await deployment.startServer({ LOG_LEVEL: 'debug' })
  const killed = signalChildOf(server.pid, 'SIGKILL')
  const workers = await until('the next one starts', () => {
    const now = childrenOf(server.pid)
    return now.length === 2 && !now.includes(killed) && now
  })
  t.equal(await server.stop(), 0)
  const stopped = writersOf(server, '"msg":"stopped"')
  t.strictSame(
    [...workers, server.pid].filter((pid) => !stopped.has(pid)),
    [],
    'none was killed',
  )
  t.equal(server.stderr, '')
})

t.test('a worker that follows another does not apply the seed file again', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const file = join(deployment.cwd, 'seed.json')
  writeFileSync(file, JSON.stringify({ clients: [{ client_id: 'app', type: 'public', scopes: ['seed'] }] }))
  const server = await deployment.startServer({ SEED_FILE: file })
  const applied = () => server.lines.filter((line) => line.includes('the seed file is applied')).length
  await until('it is applied', () => applied() > 0)
  t.match(await deployment.cli(['client', 'update', 'app', '--scope', 'person']), { code: 0 })
  const before = childrenOf(server.pid)
  for (const pid of before) process.kill(pid, 'SIGKILL')
  await until('others serve', async () => {
    const now = childrenOf(server.pid)
    if (now.length < 2 || now.some((pid) => before.includes(pid))) return false
    return (await scrape(server.managementUrl)).sum('pawl_workers_serving') === 2
  })
  t.match(
    (await deployment.cli(['client', 'list', '--json'])).stdout,
    /"person"/,
    'what a person changed stays',
  )
  await server.stop()
  t.equal(applied(), 1)
})

t.test('a signal to the whole group is one signal', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const server = await deployment.startServer()
  // As a terminal does for Ctrl-C, and a service manager unless it is told otherwise.
  for (const pid of childrenOf(server.pid)) process.kill(pid, 'SIGTERM')
  t.equal(await server.stop(), 0)
  t.equal(server.stderr, '')
})

t.test('workers whose primary is killed end too', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const server = await deployment.startServer()
  const workers = childrenOf(server.pid)
  await server.kill()
  await until('they are gone', () =>
    workers.every((pid) => {
      try {
        process.kill(pid, 0)
        return false
      } catch {
        return true
      }
    }),
  )
  t.pass('and leave the port free')
})

t.test('a store that is down: not ready, alive, and ready again', async (t) => {
  const deployment = await deploy(t, 'redis', { env: { WORKERS: '2' }, redis: { aof: true } })
  const { managementUrl } = await deployment.startServer()
  await deployment.redis?.kill()
  const down = await ask(`${managementUrl}/health/ready`)
  expectProblem(t, down, 503)
  t.equal((await ask(`${managementUrl}/health/live`)).status, 200)
  await deployment.redis?.restart()
  await until('it is ready', async () => (await ask(`${managementUrl}/health/ready`)).status === 200)
})

t.test('a start that fails: 1, told once', async (t) => {
  const cwd = t.testdir()
  const port = await freePort()
  const taken = createServer().listen(port, '127.0.0.1')
  t.teardown(() => taken.close())
  const free = String(await freePort())
  for (const ports of [
    { PORT: String(port), MANAGEMENT_PORT: free },
    { PORT: free, MANAGEMENT_PORT: String(port) },
  ]) {
    const { code, stderr } = await runCli(['serve'], { env: { ...ports, WORKERS: '2' }, cwd })
    t.equal(code, 1, stderr)
    t.equal(stderr.match(/EADDRINUSE/g)?.length, 1, 'once')
  }
})
