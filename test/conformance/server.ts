import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { atBest } from '../support/at-best.ts'
import { deploy } from '../support/deployment.ts'
import { expectOAuthError, expectProblem, expectUnavailable } from '../support/expect.ts'
import { encode, FORM_TYPE, sendRaw } from '../support/http-client.ts'
import { startServer } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { ADA, APP, basicOf, clientOf } from './context.ts'
import type { Row } from './row.ts'

const BUG = new URL('../support/bug.js', import.meta.url).href

const SIGN_IN = String(encode({ grant_type: 'password', ...APP, ...ADA }))

/** The server's clock ticks once a second; the rest is for a machine that is busy with other things. */
const SLACK_MS = 10_000

/** The rows on the server as such. */
export const SERVER: readonly Row[] = [
  {
    id: 'C47',
    title: 'the two families of errors, for every class of status',
    async hold(t, { kind, send, get, token, from, server }) {
      for (const path of [
        '/',
        '/tokens',
        '/token/',
        '/Token',
        '/health/live',
        '/metrics',
        '/openapi.json',
        '/%zz',
        '//token',
      ]) {
        for (const method of ['GET', 'POST', 'DELETE']) {
          const answer = await send(method, path)
          // A URL that cannot be read is a bad request and not a page that is missing.
          expectProblem(t, answer, path === '/%zz' ? 400 : 404, `${method} ${path}`)
        }
      }
      const routes = {
        '/token': 'POST',
        '/revoke': 'POST',
        '/introspect': 'POST',
        '/.well-known/jwks.json': 'GET, HEAD',
      }
      for (const [path, allow] of Object.entries(routes)) {
        for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
          if (allow.includes(method)) continue
          const answer = await send(method, path)
          expectProblem(t, answer, 405, `${method} ${path}`)
          const allowed = String(answer.headers.allow).split(', ').sort().join(', ')
          t.equal(allowed, allow, `${path}: Allow`)
        }
      }
      for (const path of ['/token', '/revoke', '/introspect']) {
        const tooLarge = await send('POST', path, { 'content-type': FORM_TYPE }, `x=${'y'.repeat(17_000)}`)
        expectOAuthError(t, tooLarge, 'invalid_request', `413: ${path}`)
        const json = await send('POST', path, { 'content-type': 'application/json' }, '{}')
        expectOAuthError(t, json, 'invalid_request', `415: ${path}`)
        const malformed = await send('POST', path, { 'content-type': FORM_TYPE }, '%zz')
        expectOAuthError(t, malformed, 'invalid_request', `a malformed body: ${path}`)
      }
      const octets: [name: string, octets: string, status: number][] = [
        ['no HTTP', 'canary\r\n\r\n', 400],
        ['headers too large', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
      ]
      for (const [name, text, status] of octets) {
        const received = await sendRaw(server.port, text)
        t.match(received, new RegExp(`^HTTP/1\\.1 ${status} `), name)
        const [head = '', body = ''] = received.split('\r\n\r\n')
        t.match(head, /content-type: application\/problem\+json/i, name)
        t.strictSame(Object.keys(JSON.parse(body)).sort(), ['status', 'title'], name)
      }
      // What Node refuses by itself has no body, hence no error member either.
      const nobody = await sendRaw(server.port, 'GET / HTTP/1.1\r\n\r\n')
      t.match(nobody, /^HTTP\/1\.1 400 /, 'no Host')
      t.notMatch(nobody, /"error"/)
      const expecting = await sendRaw(
        server.port,
        `POST /token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${from['x-forwarded-for']}\r\nExpect: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      )
      t.match(expecting, /^HTTP\/1\.1 417 /)
      t.notMatch(expecting, /"error"/)
      expectOAuthError(
        t,
        await token({ grant_type: 'password', ...APP, ...ADA, password: 'x' }),
        'invalid_grant',
      )
      t.equal((await get('/.well-known/jwks.json')).status, 200)

      const own = await deploy(t, kind)
      await own.addClient('app')
      const secret = await own.addConfidentialClient('web')
      await own.addUser(ADA.username, ADA.password)
      const troubled = await own.startServer({
        TRUST_PROXY: '127.0.0.1',
        // The queue is to be what refuses.
        SIGN_IN_FAILURES_PER_ACCOUNT: '1000',
        SIGN_IN_FAILURES_PER_NETWORK: '1000',
      })
      const asked = clientOf(troubled.url, 147)
      const buggy = await startServer({ env: own.env, cwd: own.cwd, execArgv: ['--import', BUG] })
      t.teardown(() => buggy.stop())
      const bug = await clientOf(buggy.url, 147).token({ grant_type: 'password', ...ADA, client_id: 'app' })
      expectProblem(t, bug, 500, '500')
      t.strictSame(bug.json, { title: 'Internal Server Error', status: 500 })
      t.equal(bug.headers['retry-after'], undefined)

      const wrong = { grant_type: 'password', ...ADA, client_id: 'web', client_secret: 'x' }
      const throttled = await until('the failures are too many', async () => {
        const answer = await asked.token(wrong)
        return answer.status === 429 && answer
      })
      expectProblem(t, throttled, 429, '429')
      t.match(throttled.headers['retry-after'], /^[1-9]\d*$/)
      t.match(await asked.token(wrong, basicOf({ client_id: 'web', client_secret: secret })), { status: 400 })

      // More sign-ins at once than may wait for the threads that hash.
      const many = (availableParallelism() + 1) * 80
      const flood = await Promise.all(
        Array.from({ length: many }, () =>
          asked.token({ grant_type: 'password', ...APP, ...ADA, password: 'x' }),
        ),
      )
      const overloaded = flood.filter(({ status }) => status !== 400)
      t.ok(
        overloaded.length > 0 && overloaded.length < many,
        `${overloaded.length} of ${many} sign-ins are told to wait`,
      )
      for (const answer of overloaded) expectUnavailable(t, answer, '503, overloaded')
      const worksAgain = () =>
        until(
          'it works again',
          async () => (await asked.token({ grant_type: 'password', ...APP, ...ADA })).status === 200,
        )
      await worksAgain()
      if (kind === 'redis') {
        const least = await atBest(2000, async () => {
          // For half a second a server goes by what it read of a client.
          await sleep(600)
          own.redis?.pause()
          const begin = performance.now()
          for (const answer of await Promise.all([
            asked.token({ grant_type: 'password', ...APP, ...ADA }),
            asked.revoke({ ...APP, token: 'x' }),
            asked.introspect({ token: 'x' }, basicOf({ client_id: 'web', client_secret: secret })),
          ])) {
            expectUnavailable(t, answer, '503, store down')
          }
          const ms = performance.now() - begin
          t.equal((await asked.get('/.well-known/jwks.json')).status, 200)
          own.redis?.resume()
          await worksAgain()
          return ms
        })
        t.ok(least < 2000, 'within about a second')
      }
    },
  },
  {
    id: 'C48',
    alone: true,
    title: 'slow, half-closed, lying and pipelined requests: bounded time, no leak, others unaffected',
    async hold(t, { deployment, from }) {
      // A server of its own, whose connections are these alone.
      const server = await deployment.startServer({ TRUST_PROXY: '127.0.0.1' })
      const { port } = server
      const { signIn, refresh } = clientOf(server.url, 148)
      await refresh(await signIn())
      const head = (...lines: string[]) =>
        [
          'POST /token HTTP/1.1',
          'Host: x',
          `Content-Type: ${FORM_TYPE}`,
          `X-Forwarded-For: ${from['x-forwarded-for']}`,
          ...lines,
          '',
          '',
        ].join('\r\n')
      const length = `Content-Length: ${SIGN_IN.length}`
      const close = 'Connection: close'
      const statusesOf = (received: string) =>
        [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

      const pipelined = await sendRaw(
        port,
        [
          head(length) + SIGN_IN,
          `${head('Content-Length: 12')}grant_type=x`,
          'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n',
          'GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n',
          head(length, close) + SIGN_IN,
        ].join(''),
      )
      t.strictSame(statusesOf(pipelined), [200, 400, 404, 200, 200], 'pipelined: in order, each for itself')
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
      const refused: Record<string, string> = {
        'two lengths': head(close, length, 'Content-Length: 1') + SIGN_IN,
        'length and chunks': `${head(length, 'Transfer-Encoding: chunked')}0\r\n\r\n${smuggled}`,
        'a negative length': head(close, 'Content-Length: -1') + smuggled,
        'a chunk size that is no number': `${head('Transfer-Encoding: chunked')}x\r\n${smuggled}`,
        'an unknown coding': head(close, 'Transfer-Encoding: x') + smuggled,
      }
      for (const [name, octets] of Object.entries(refused)) {
        t.strictSame(
          statusesOf(await sendRaw(port, octets)),
          [400],
          `${name}: one answer, and the connection closed`,
        )
      }
      const short = await sendRaw(port, `${head('Content-Length: 5')}${SIGN_IN}`)
      t.equal(statusesOf(short)[0], 400, 'a Content-Length that is too short')
      t.notMatch(short, /"access_token"/, 'what is beyond it is not read')

      const sockets = () => openSockets(server.pid)
      const before = sockets()
      for (const octets of [
        head(length) + SIGN_IN,
        head('Content-Length: 9999') + SIGN_IN,
        'POST /tok',
        '',
        head(length, 'Expect: 100-continue'),
      ]) {
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
        socket.on('error', () => {})
        let received = ''
        socket.setEncoding('latin1').on('data', (text) => {
          received += text
        })
        const begin = performance.now()
        socket.end(octets)
        await once(socket, 'close')
        t.ok(performance.now() - begin < 4000, 'half-closed: closed')
        t.notOk(statusesOf(received).some((status) => status >= 500))
      }

      // The server's limits: five seconds for a head, ten for a whole request; its clock ticks in between.
      const slow: Record<string, [octets: string, drip: string, limitMs: number]> = {
        'a head that stalls': ['POST /token HTTP/1.1\r\nHost: x\r\nX-Slow: ', '', 5000],
        'a head that drips': ['POST /token HTTP/1.1\r\nHost: x\r\nX-Slow: ', 'y', 5000],
        'nothing at all after a byte': ['P', '', 5000],
        'a body that stalls': [head('Content-Length: 9999'), '', 10_000],
        'a body that drips': [head('Content-Length: 9999'), 'y', 10_000],
        'a body shorter than it says': [head(`Content-Length: ${SIGN_IN.length + 1}`) + SIGN_IN, '', 10_000],
        'chunks that drip': [head('Transfer-Encoding: chunked'), '1\r\ny\r\n', 10_000],
        'a second request that stalls': [`${head(length)}${SIGN_IN}POST /token HTTP/1.1\r\nX`, '', 5000],
      }
      const CROWD = 5
      const connected: Promise<unknown>[] = []
      const waiting = Object.entries(slow).flatMap(([name, [octets, drip, limitMs]]) =>
        Array.from({ length: CROWD }, async () => {
          const socket = connect(port, '127.0.0.1')
          socket.on('error', () => {})
          connected.push(once(socket, 'connect'))
          let received = ''
          socket.setEncoding('latin1').on('data', (text) => {
            received += text
          })
          const begin = performance.now()
          socket.write(octets)
          const dripping = setInterval(() => drip !== '' && socket.write(drip), 500)
          await once(socket, 'close')
          clearInterval(dripping)
          return { name, limitMs, received, ms: performance.now() - begin }
        }),
      )
      await Promise.all(connected)
      let held = await signIn()
      const slowest: number[] = []
      const end = performance.now() + 4000
      while (performance.now() < end) {
        const begin = performance.now()
        held = await refresh(held)
        slowest.push(performance.now() - begin)
        await sleep(50)
      }
      t.ok(slowest.length >= 3 && Math.max(...slowest) < 3000, `${slowest.length} refreshes meanwhile`)
      for (const { name, limitMs, received, ms } of await Promise.all(waiting)) {
        t.equal(statusesOf(received).at(-1), 408, name)
        t.match(received, /application\/problem\+json/, name)
        t.ok(ms > limitMs - 1000 && ms < limitMs + SLACK_MS, `${name}: cut off after ${Math.round(ms)} ms`)
      }
      await until('no connection is left', () => (sockets() ?? 0) <= (before ?? 0))
      t.ok(await refresh(held), 'and it serves on')
    },
  },
]

/** The sockets that a process has open; undefined where the system does not say. */
function openSockets(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(`${folder}/${name}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length
}
