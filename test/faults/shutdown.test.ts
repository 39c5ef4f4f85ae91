import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import { ask, encode, postForm, refresh, signIn } from '../support/http-client.ts'
import { until } from '../support/until.ts'

for (const kind of STORE_KINDS) {
  t.test(`SIGTERM, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')

    t.test('what is under way finishes; readiness is gone meanwhile', async (t) => {
      const server = await deployment.startServer()
      const { refresh_token } = await signIn(server.url, ada)
      const underWay = Array.from({ length: 30 }, () =>
        postForm(`${server.url}/token`, { grant_type: 'password', ...ada }),
      )
      // Most of them wait for their hash for half a second; a connection on which nothing came yet would just be closed.
      await Promise.race(underWay)
      await sleep(100)
      const begin = performance.now()
      const stopped = server.stop()
      const unready = await until('it is not ready', async () => {
        const answer = await ask(`${server.managementUrl}/health/ready`)
        return answer.status === 503 && answer
      })
      expectProblem(t, unready, 503, 'not ready')
      const answers = await Promise.all(underWay)
      t.strictSame(
        [...new Set(answers.map(({ status }) => status))],
        [200],
        'every sign-in under way is answered',
      )
      await t.rejects(signIn(server.url, ada), 'no new connection is taken')
      t.equal(await stopped, 0, 'exit code')
      t.ok(performance.now() - begin < 10_000)
      t.equal(server.stderr, '')
      t.match(server.lines.at(-1), /"stopped"/, 'its last line')

      const next = await deployment.startServer()
      t.ok(await refresh(next.url, refresh_token, { client_id: 'ada' }), 'and the next server goes on')
    })

    t.test('a request on a connection that was busy when it came', async (t) => {
      const server = await deployment.startServer()
      const body = String(encode({ grant_type: 'password', ...ada }))
      const head = `POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`
      const socket = connect(server.port, '127.0.0.1')
      let received = ''
      socket.setEncoding('latin1').on('data', (text) => {
        received += text
      })
      socket.write(head + body.slice(0, 10))
      await sleep(200)
      const stopped = server.stop()
      await until(
        'it is not ready',
        async () => (await ask(`${server.managementUrl}/health/ready`)).status === 503,
      )
      // The first was begun before; the second comes to a server that closes.
      socket.write(body.slice(10) + head + body)
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
      socket.write(
        'POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\n',
      )
      await sleep(200)
      const begin = performance.now()
      t.equal(await server.stop(), 0, 'exit code')
      t.ok(performance.now() - begin < 10_000, `after ${Math.round(performance.now() - begin)} ms`)
    })

    t.test('nothing to finish', async (t) => {
      const server = await deployment.startServer()
      await ask(`${server.url}/.well-known/jwks.json`)
      const begin = performance.now()
      t.equal(await server.stop(), 0, 'exit code')
      t.ok(performance.now() - begin < 3000, `after ${Math.round(performance.now() - begin)} ms`)
    })
  })
}
