import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { auditEvents, deploy, STORE_KINDS } from '../support/deployment.ts'
import { signalChildOf } from '../support/processes.ts'
import { beginSessions } from '../support/sessions.ts'
import { startClients } from '../support/virtual-clients.ts'

const SESSIONS = 96

// A client whose connection breaks cannot know whether its refresh happened. It asks again, at the process that is left,
// with the token that it holds: the predecessor, where it did happen.
for (const kind of STORE_KINDS) {
  const what = kind === 'redis' ? 'one of two servers' : 'one of two workers'
  t.test(`kill -9 of ${what} under load, on ${kind}: nobody is signed out`, async (t) => {
    const deployment = await deploy(t, kind, { env: { ISSUER: 'http://localhost:9000' } })
    const ada = await deployment.addAccount('ada')
    const servers =
      kind === 'redis'
        ? [await deployment.startServer(), await deployment.startServer()]
        : [await deployment.startServer({ WORKERS: '2' })]
    const urls = servers.map(({ url }) => url)
    const clients = startClients(urls, 'ada', await beginSessions(deployment, ada, SESSIONS))
    t.teardown(() => clients.stop())
    await clients.eachTurned()
    const momentMs = Math.round(200 * Math.random())
    await sleep(momentMs)

    const [first] = servers
    if (kind === 'redis') await first?.kill()
    else signalChildOf(first!.pid, 'SIGKILL')
    await clients.eachTurned()
    await clients.stop()

    t.strictSame(
      clients.refusals.map(({ status, text }) => `${status} ${text}`),
      [],
      `0 of ${SESSIONS} sessions are lost, killed after ${momentMs} ms more, ${clients.turns} refreshes`,
    )
    t.ok(clients.troubles > 0, `${clients.troubles} requests broke`)
    const reuses = servers.flatMap(auditEvents).filter(({ event }) => event === 'refresh.reuse')
    t.strictSame(reuses, [], 'and nothing looked like reuse')
  })
}
