import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { auditEvents, type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { refresh, signIn, type Tokens } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { beginSessions } from '../support/sessions.ts'
import { until } from '../support/until.ts'
import { startClients, type VirtualClients } from '../support/virtual-clients.ts'

const CLIENTS = 24
const LOAD_MS = 700
/** Nearly as many as are let wait for their hash, so that the last is far from its answer when the server is killed. */
const SIGN_INS = 60

const ISSUER = { ISSUER: 'http://localhost:9000' }

/** Ends the server with SIGKILL and starts another in its place. */
async function crash(deployment: Deployment, server: ServerProcess): Promise<ServerProcess> {
  await server.kill()
  await sleep(200)
  return deployment.startServer({ PORT: String(server.port), MANAGEMENT_PORT: String(server.managementPort) })
}

function expectNobodySignedOut(t: Test, clients: VirtualClients): void {
  t.strictSame(
    clients.refusals.map(({ status, text }) => `${status} ${text}`),
    [],
    `nobody was signed out, in ${clients.turns} refreshes, ${clients.troubles} of them with trouble`,
  )
}

const reuses = (server: ServerProcess) => auditEvents(server).filter(({ event }) => event === 'refresh.reuse')

for (const kind of STORE_KINDS) {
  t.test(`servers that are killed under load, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: ISSUER, redis: { aof: true } })
    const ada = await deployment.addAccount('ada')
    let first = await deployment.startServer()
    let second = await deployment.startServer()
    const clients = startClients(
      [first.url, second.url],
      'ada',
      await beginSessions(deployment, ada, CLIENTS),
    )
    t.teardown(() => clients.stop())
    const logs: ServerProcess[] = [first, second]
    for (let round = 0; round < 2; round += 1) {
      await sleep(LOAD_MS)
      first = await crash(deployment, first)
      await clients.eachTurned()
      second = await crash(deployment, second)
      logs.push(first, second)
      await clients.eachTurned()
    }
    await clients.stop()
    expectNobodySignedOut(t, clients)
    t.ok(clients.troubles > 0, 'the clients did notice')
    t.strictSame(logs.flatMap(reuses), [], 'and nothing looked like reuse')
    for (const server of [first, second]) t.equal(await server.stop(), 0)
  })

  t.test(`a sign-in that was answered is there after a crash, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: ISSUER, redis: { aof: 'always' } })
    const ada = await deployment.addAccount('ada')
    const server = await deployment.startServer()
    const { url } = server
    const answered: Tokens[] = []
    const signingIn = Array.from({ length: SIGN_INS }, async () => {
      // The killed server leaves the rest without an answer.
      await signIn(url, ada).then(
        (tokens) => answered.push(tokens),
        () => {},
      )
    })
    while (answered.length < 5) await sleep(1)
    await Promise.all([server.kill(), deployment.redis?.kill()])
    await Promise.all(signingIn)
    await deployment.redis?.restart()
    await crash(deployment, server)
    t.ok(answered.length < SIGN_INS, `${answered.length} of ${SIGN_INS} had their answer`)
    for (const { refresh_token } of answered) t.ok(await refresh(url, refresh_token, { client_id: 'ada' }))
  })
}

t.test('a Redis that is killed under load', async (t) => {
  const deployment = await deploy(t, 'redis', { env: ISSUER, redis: { aof: true } })
  const { redis } = deployment
  if (!redis) return t.fail('no Redis')
  const ada = await deployment.addAccount('ada')
  const servers = [await deployment.startServer(), await deployment.startServer()]
  const urls = servers.map(({ url }) => url)
  const sessions = await beginSessions(deployment, ada, CLIENTS)
  const log = appendOnlyFile(redis.dir)
  // With "everysec" that is so at once, or when a slow fsync is over.
  await until('the sign-ins are in the file', async () => {
    const info = String(await redis.cli('INFO', 'persistence'))
    return /^aof_buffer_length:0\r?$/m.test(info) && /^aof_pending_bio_fsync:0\r?$/m.test(info)
  })
  const safe = statSync(log).size

  const clients = startClients(urls, 'ada', sessions)
  t.teardown(() => clients.stop())
  for (let round = 0; round < 2; round += 1) {
    await sleep(LOAD_MS)
    await redis.kill()
    await sleep(100)
    await redis.restart()
    await clients.eachTurned()
  }
  expectNobodySignedOut(t, clients)
  t.ok(clients.troubles > 0, 'the clients did notice')

  // As when the machine itself had gone down, and the last writes with it.
  await redis.kill()
  truncateSync(log, safe + Math.floor((statSync(log).size - safe) / 2))
  await redis.restart()
  await clients.eachTurned()
  await clients.stop()
  expectNobodySignedOut(t, clients)
  const events = servers.flatMap(auditEvents).map(({ event }) => event)
  t.ok(events.includes('refresh.healed'), 'the rotations that were lost have been healed')
  t.notOk(events.includes('refresh.reuse'), 'and nothing looked like reuse')
  for (const server of servers) t.notMatch(server.lines.join('\n'), /unexpected failure/)
  return undefined
})

/** The file that Redis appends to; its name changes only with a rewrite, which so little data does not bring about. */
function appendOnlyFile(dir: string): string {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' })
  const name = names.find((file) => /\.incr\.aof$/.test(file)) ?? names.find((file) => /\.aof$/.test(file))
  return join(dir, String(name))
}
