import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import { ask, BUSY, encode, FORM_TYPE, refresh, signIn } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** Fewer than are a crowd, whose hashes would take longer. */
const SIGN_INS = 15
/** The server says of a head with this that it has read it; a connection on which nothing came yet it would just close. */
const EXPECT = 'Expect: 100-continue\r\n'
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

const agent = new Agent({ keepAlive: true })
const headOf = (length: number, more = '') =>
  `POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM_TYPE}\r\nContent-Length: ${length}\r\n${more}\r\n`

/** A request whose head the server has read; its body is yet to be sent. */
async function beginRequest({ url }: ServerProcess, body: string): Promise<ClientRequest> {
  const headers = { 'content-type': FORM_TYPE, 'content-length': body.length, expect: '100-continue' }
  const begun = request(`${url}/token`, { method: 'POST', headers, agent })
  begun.flushHeaders()
  await once(begun, 'continue')
  return begun
}

async function answerOf(asked: ClientRequest): Promise<{ status: number | undefined; text: string }> {
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return { status: response.statusCode, text: await text(response) }
}

for (const kind of STORE_KINDS) {
  t.test(`SIGTERM, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')

    t.test('what is under way finishes; readiness is gone meanwhile', async (t) => {
      const server = await deployment.startServer()
      const { refresh_token } = await signIn(server.url, ada)
      const body = String(encode({ grant_type: 'password', ...ada }))
      const begun = await Promise.all(Array.from({ length: SIGN_INS }, () => beginRequest(server, body)))
      // It keeps the server there until the readiness was looked at.
      const refreshBody = String(encode({ grant_type: 'refresh_token', refresh_token, client_id: 'ada' }))
      const last = await beginRequest(server, refreshBody)
      const underWay = begun.map((request) => answerOf(request.end(body)))
      await Promise.race(underWay)
      const begin = performance.now()
      const stopped = server.stop()
      const unready = await until('it is not ready', async () => {
        const answer = await ask(`${server.managementUrl}/health/ready`)
        return answer.status === 503 && answer
      })
      expectProblem(t, unready, 503, 'not ready')
      const refreshed = await answerOf(last.end(refreshBody))
      t.equal(refreshed.status, 200, 'a refresh is answered')
      const answers = await Promise.all(underWay)
      t.strictSame(
        answers.filter(({ status, text }) => status !== 200 && !(status === 503 && text.includes(BUSY))),
        [],
        'every sign-in under way is answered',
      )
      t.ok(
        answers.some(({ status }) => status === 200),
        'as far as a busy machine has time to hash',
      )
      await t.rejects(signIn(server.url, ada), 'no new connection is taken')
      t.equal(await stopped, 0, 'exit code')
      t.ok(performance.now() - begin < 10_000)
      t.equal(server.stderr, '')
      t.match(server.lines.at(-1), /"stopped"/, 'its last line')

      const next = await deployment.startServer()
      const held = JSON.parse(refreshed.text).refresh_token
      t.ok(await refresh(next.url, held, { client_id: 'ada' }), 'and the next server goes on')
    })

    t.test('a request on a connection that was busy when it came', async (t) => {
      const server = await deployment.startServer()
      const body = String(encode({ grant_type: 'password', ...ada }))
      const socket = connect(server.port, '127.0.0.1')
      let received = ''
      socket.setEncoding('latin1').on('data', (text) => {
        received += text
      })
      socket.write(`${headOf(body.length, EXPECT)}${body.slice(0, 10)}`)
      await until('the head is read', () => received.includes(CONTINUE))
      received = received.replace(CONTINUE, '')
      const stopped = server.stop()
      await until(
        'it is not ready',
        async () => (await ask(`${server.managementUrl}/health/ready`)).status === 503,
      )
      // The first was begun before; the second comes to a server that closes.
      socket.write(body.slice(10) + headOf(body.length) + body)
      await once(socket, 'close')
      const [first = '', second] = received.split(/(?=HTTP\/1\.1 )/)
      t.match(first, /^HTTP\/1\.1 200 /, 'the first is answered')
      if (second !== undefined) {
        const [headers, text = ''] = second.split('\r\n\r\n')
        t.match(headers, /^HTTP\/1\.1 503 /)
        t.match(headers, /content-type: application\/problem\+json/i, 'a 503 is problem details')
        t.notOk('error' in JSON.parse(text), 'and has no error member, which would end the client’s session')
      }
      t.equal(await stopped, 0)
    })

    t.test('who sends half a request does not keep it from ending', async (t) => {
      const server = await deployment.startServer()
      const socket = connect(server.port, '127.0.0.1').on('error', () => {})
      t.teardown(() => socket.destroy())
      socket.write(headOf(99, EXPECT))
      await once(socket, 'data')
      const begin = performance.now()
      t.equal(await server.stop(), 0, 'exit code')
      t.ok(performance.now() - begin < 10_000, `after ${Math.round(performance.now() - begin)} ms`)
    })

    t.test('nothing to finish', async (t) => {
      const server = await deployment.startServer()
      await ask(`${server.url}/.well-known/jwks.json`)
      const begin = performance.now()
      t.equal(await server.stop(), 0, 'exit code')
      // Half a request would have kept it for 6 s.
      t.ok(performance.now() - begin < 5500, `after ${Math.round(performance.now() - begin)} ms`)
    })
  })
}
