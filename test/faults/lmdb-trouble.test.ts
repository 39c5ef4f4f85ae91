import t, { type Test } from 'tap'
import { atBest } from '../support/at-best.ts'
import { auditEvents, type Deployment, deploy } from '../support/deployment.ts'
import { expectProblem, expectUnavailable } from '../support/expect.ts'
import { ask, type Credentials, postForm, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { holdWriteLock } from '../support/write-lock.ts'
import { PROMISES } from './hold-history.ts'

/** What needs no store is answered while the lock is held; were the event loop to wait for it, that would be never. */
const LIVE_MS = 5000

const ready = ({ managementUrl }: ServerProcess) => ask(`${managementUrl}/health/ready`)

/** What writes is refused for now, and the event loop lives. @returns how long the slowest took. */
async function expectNoWrites(t: Test, server: ServerProcess, account: Credentials, held: readonly string[]) {
  const { url, managementUrl } = server
  const { client_id } = account
  const writes = Promise.all([
    ...held.map((token) => tryRefresh(url, token, { client_id })),
    postForm(`${url}/token`, { grant_type: 'password', ...account }),
    postForm(`${url}/revoke`, { token: held[0], client_id }),
  ])
  for (let turn = 0; turn < 5; turn += 1) {
    const alive = await Promise.all([
      ask(`${managementUrl}/health/live`),
      ask(`${url}/.well-known/jwks.json`),
    ])
    for (const { status, ms } of alive)
      t.ok(status === 200 && ms < LIVE_MS, `alive within ${ms.toFixed()} ms`)
  }
  const answers = await writes
  for (const answer of answers) expectUnavailable(t, answer)
  return Math.max(...answers.map(({ ms }) => ms))
}

async function start(t: Test): Promise<{
  deployment: Deployment
  server: ServerProcess
  ada: Credentials
  held: string[]
}> {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  const tokens = await Promise.all([signIn(server.url, ada), signIn(server.url, ada)])
  return { deployment, server, ada, held: tokens.map(({ refresh_token }) => refresh_token) }
}

async function expectAsBefore(t: Test, server: ServerProcess, ada: Credentials, held: readonly string[]) {
  for (const token of held) {
    const next = await refresh(server.url, token, { client_id: ada.client_id })
    t.ok(await refresh(server.url, next.refresh_token, { client_id: ada.client_id }), 'the session goes on')
  }
  t.ok(await signIn(server.url, ada), 'and others begin')
  t.notOk(
    auditEvents(server).some(({ event }) => event === 'refresh.reuse'),
    'nothing looked like reuse',
  )
}

t.test('another process holds the write lock and stands still', async (t) => {
  const { deployment, server, ada, held } = await start(t)
  const letGo = await holdWriteLock(t, deployment.dataDir)
  const ms = await atBest(PROMISES.answerMs, () => expectNoWrites(t, server, ada, held))
  t.ok(ms < PROMISES.answerMs, `within ${ms.toFixed()} ms`)
  expectProblem(t, await ready(server), 503, 'not ready')
  await letGo()
  await until('the server is ready', async () => (await ready(server)).status === 200)
  await expectAsBefore(t, server, ada, held)
})
