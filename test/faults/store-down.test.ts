import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { atBest } from '../support/at-best.ts'
import { auditEvent, auditEvents, deploy } from '../support/deployment.ts'
import { expectOAuthError, expectProblem, expectUnavailable } from '../support/expect.ts'
import {
  ask,
  type Credentials,
  postForm,
  refresh,
  signIn,
  tokensOf,
  tryRefresh,
} from '../support/http-client.ts'
import { pastLateStore } from '../support/late-store.ts'
import { freePort, type ServerProcess } from '../support/processes.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

// The server promises an answer within a second; the rest is the test machine's.
const ANSWER_MS = 1500
/** For what needs no store. */
const AT_ONCE_MS = 500

/** Of connections under load, at least. */
const CUTS = 5

const ready = async ({ managementUrl }: ServerProcess) =>
  (await ask(`${managementUrl}/health/ready`)).status === 200

/**
 * What every route must answer while the store does not.
 *
 * @returns how long that took, as a share of the time that there is for it.
 */
async function expectDegraded(
  t: Test,
  server: ServerProcess,
  account: Credentials,
  held: string,
): Promise<number> {
  const { url, managementUrl } = server
  const { client_id } = account
  const asked = await Promise.all([
    tryRefresh(url, held, { client_id }),
    tryRefresh(url, held, { client_id, scope: 'read' }),
    tryRefresh(url, held, { client_id: 'nobody' }),
    postForm(`${url}/token`, { grant_type: 'password', ...account }),
    postForm(`${url}/token`, { grant_type: 'password', ...account, username: 'nobody' }),
    postForm(`${url}/token`, { grant_type: 'password', ...account, client_id: 'nobody' }),
    ...Array.from({ length: 40 }, () => tryRefresh(url, held, { client_id })),
  ])
  for (const answer of asked) {
    expectUnavailable(t, answer)
    t.equal(answer.headers['cache-control'], 'no-store')
  }

  const [unready, live, jwks] = await Promise.all([
    ask(`${managementUrl}/health/ready`),
    ask(`${managementUrl}/health/live`),
    ask(`${url}/.well-known/jwks.json`),
  ])
  expectProblem(t, unready, 503, 'not ready')
  t.match([live.status, jwks.status], [200, 200], 'alive, and the keys are published')
  expectOAuthError(
    t,
    await postForm(`${url}/token`, 'grant_type=x'),
    'unsupported_grant_type',
    'what needs no store',
  )
  const slowest = Math.max(...[...asked, unready].map(({ ms }) => ms))
  return Math.max(slowest / ANSWER_MS, Math.max(live.ms, jwks.ms) / AT_ONCE_MS)
}

/** Has a trouble come and go until everything was answered in time once, in every phase of it. */
async function expectInTime(t: Test, trouble: () => Promise<number[]>): Promise<void> {
  const share = await atBest(1, async () => Math.max(...(await trouble())))
  t.ok(share < 1, `it took ${Math.round(100 * share)} % of the time that there is`)
}

t.test('a Redis that goes away and comes back', async (t) => {
  const deployment = await deploy(t, 'redis', { redis: { aof: 'always' } })
  const { redis } = deployment
  if (!redis) return t.fail('no Redis')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  const { url } = server
  const form = { client_id: 'ada' }
  let held = await signIn(url, ada)

  t.test('frozen: its connections stay open and nothing answers', async (t) => {
    t.teardown(() => redis.resume())
    await expectInTime(t, async () => {
      redis.pause()
      const shares: number[] = []
      // At once; when what was read of the client is too old; and when the silent connections have been given up.
      for (const pause of [0, 600, 2500]) {
        await sleep(pause)
        shares.push(await expectDegraded(t, server, ada, held.refresh_token))
      }
      redis.resume()
      await until('the server is ready', () => ready(server), 10_000)
      held = await refresh(url, held.refresh_token, form)
      t.ok(await signIn(url, ada), 'it recovers by itself')
      return shares
    })
  })

  t.test('killed: connections are refused', async (t) => {
    await expectInTime(t, async () => {
      await redis.kill()
      const shares: number[] = []
      for (const pause of [0, 600]) {
        await sleep(pause)
        shares.push(await expectDegraded(t, server, ada, held.refresh_token))
      }
      await redis.restart()
      await until('the server is ready', () => ready(server), 10_000)
      held = await refresh(url, held.refresh_token, form)
      t.ok(await signIn(url, ada), 'it recovers by itself')
      return shares
    })
  })

  t.test('out of memory: what writes fails, and no session with it', async (t) => {
    const before = await redis.cli('CONFIG', 'GET', 'maxmemory')
    await redis.cli('CONFIG', 'SET', 'maxmemory', '1')
    for (const answer of [
      await tryRefresh(url, held.refresh_token, form),
      await postForm(`${url}/token`, { grant_type: 'password', ...ada }),
    ]) {
      expectUnavailable(t, answer)
    }
    await redis.cli(
      'CONFIG',
      'SET',
      'maxmemory',
      Object.values(before as Record<string, string>).at(-1) ?? '0',
    )
    held = await refresh(url, held.refresh_token, form)
  })

  t.test('what was logged', async (t) => {
    const events = auditEvents(server).map(({ event }) => event)
    t.notOk(events.includes('refresh.reuse'), 'nothing looked like reuse')
    const lines = server.lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    t.ok(
      lines.some(({ store }) => store === 'unreachable'),
      'the loss',
    )
    t.ok(
      lines.some(({ store }) => store === 'reachable'),
      'the return',
    )
    t.equal(server.stderr, '')
  })
  return undefined
})

t.test('a server that starts before its Redis', async (t) => {
  const deployment = await deploy(t, 'redis', { redis: { aof: 'always' } })
  const { redis } = deployment
  if (!redis) return t.fail('no Redis')
  const ada = await deployment.addAccount('ada')
  await redis.kill()
  const ports = { PORT: String(await freePort()), MANAGEMENT_PORT: String(await freePort()) }
  const starting = deployment.startServer(ports)
  const url = `http://127.0.0.1:${ports.PORT}`
  const managementUrl = `http://127.0.0.1:${ports.MANAGEMENT_PORT}`
  await until('it is alive', async () => (await ask(`${managementUrl}/health/live`)).status === 200)
  t.equal((await ask(`${url}/.well-known/jwks.json`)).status, 200)
  expectProblem(t, await ask(`${managementUrl}/health/ready`), 503)
  expectUnavailable(t, await postForm(`${url}/token`, { grant_type: 'password', ...ada }))
  await redis.restart()
  t.ok(await signIn((await starting).url, ada))
  return undefined
})

t.test('a network that loses and delays replies', async (t) => {
  const deployment = await deploy(t, 'redis')
  const proxy = await startProxy(deployment.redis?.port ?? 0)
  t.teardown(() => proxy.stop())
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer({ STORE_URL: `redis://127.0.0.1:${proxy.port}` })
  const { url } = server
  const form = { client_id: 'ada' }
  let held = await signIn(url, ada)
  const served = () => until('the server is ready', () => ready(server), 10_000)

  t.test('a reply that is lost: the client asks again and goes on', async (t) => {
    for (let round = 0; round < 3; round += 1) {
      // The client's registration is at hand after this, so that the reply lost is the rotation's.
      held = await refresh(url, held.refresh_token, form)
      proxy.dropNextReply()
      const lost = await tryRefresh(url, held.refresh_token, form)
      expectUnavailable(t, lost)
      await served()
      held = await refresh(url, held.refresh_token, form)
    }
    t.equal(proxy.droppedReplies, 3)
    t.ok(await auditEvent(server, 'refresh.replayed'), 'the rotation had been carried out, and was repeated')
    const events = auditEvents(server).map(({ event }) => event)
    t.notOk(events.includes('refresh.reuse'))
  })

  t.test('late replies', async (t) => {
    proxy.setDelayMs(150)
    // On a busy machine they are later than that.
    const borne = await pastLateStore(() => tryRefresh(url, held.refresh_token, form))
    held = tokensOf(borne.answer)
    const ms = await atBest(ANSWER_MS, async () => {
      proxy.setDelayMs(3000)
      const late = await tryRefresh(url, held.refresh_token, form)
      expectUnavailable(t, late)
      proxy.setDelayMs(0)
      proxy.cutAll()
      await served()
      held = await refresh(url, held.refresh_token, form)
      return late.ms
    })
    t.ok(ms < ANSWER_MS, `within ${Math.round(ms)} ms`)
  })

  t.test('connections that are cut under load', async (t) => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => signIn(url, ada)))
    let cuts = 0
    let troubles = 0
    // The server takes a quarter of a second to connect again.
    const cutting = setInterval(() => {
      proxy.cutAll()
      cuts += 1
    }, 400)
    await Promise.all(
      sessions.map(async ({ refresh_token }) => {
        let token = refresh_token
        for (let turn = 0; turn < 20 || cuts < CUTS; ) {
          const answer = await tryRefresh(url, token, form)
          if (answer.status !== 503) {
            token = String(answer.json?.refresh_token)
            turn += 1
            if (answer.status !== 200) throw new Error(answer.text)
          } else {
            troubles += 1
            await sleep(20)
          }
        }
      }),
    ).finally(() => clearInterval(cutting))
    t.ok(troubles > 0, `the clients did notice, ${troubles} times`)
    t.notOk(auditEvents(server).some(({ event }) => event === 'refresh.reuse'))
  })
})
