import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { deploy } from '../support/deployment.ts'
import { encode, sendRaw, signIn } from '../support/http-client.ts'

/** What came back on a connection, answer by answer. */
function answersOf(received: string): { status: number; headers: string; body: string }[] {
  return received
    .split(/(?=HTTP\/1\.1 \d{3})/)
    .filter((part) => part !== '')
    .map((part) => {
      const [head = '', ...body] = part.split('\r\n\r\n')
      // What Node refuses by itself has no body, told as a chunk of no length.
      const text = body.join('\r\n\r\n').replace(/^0(\r\n)*$/, '')
      return { status: Number(head.slice(9, 12)), headers: head, body: text }
    })
}

t.test('octets that are no good request', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  const { url, port } = server
  const body = String(encode({ grant_type: 'password', ...ada }))
  const head = (...lines: string[]) =>
    [
      'POST /token HTTP/1.1',
      'Host: x',
      'Content-Type: application/x-www-form-urlencoded',
      ...lines,
      '',
      '',
    ].join('\r\n')
  const close = 'Connection: close'
  const length = `Content-Length: ${body.length}`

  /** Nothing of a request comes back, no answer is a 5xx, and a body is one of the two families. */
  const expectManners = (t: Test, name: string, received: string) => {
    t.notMatch(received, /canary/i, `${name}: not reflected`)
    t.notMatch(received, /\.js:\d|node_modules/, `${name}: no stack`)
    for (const { status, headers, body } of answersOf(received)) {
      t.ok(status < 500, `${name}: ${status}`)
      if (status < 300 || body === '') continue
      const isProblem = /content-type: application\/problem\+json/i.test(headers)
      t.equal('error' in JSON.parse(body), !isProblem, `${name}: one of the two families`)
    }
  }

  t.test('refused at once, and the connection closed', async (t) => {
    const rows: [name: string, octets: string | Buffer, status: number | undefined][] = [
      ['no HTTP at all', 'canary\r\n\r\n', 400],
      ['HTTP/0.9', 'GET /canary\r\n\r\n', 404],
      ['another version', 'POST /token HTTP/9.9\r\nHost: x\r\n\r\n', 400],
      ['HTTP/2 prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
      ['TLS on the plain port', Buffer.from('16030100c8010000c40303', 'hex'), 400],
      ['an unknown method', 'CANARY /token HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['a method in lower case', 'post /token HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['a space in the URL', 'GET /canary canary HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['no Host', `POST /token HTTP/1.1\r\n${length}\r\n\r\n${body}`, 400],
      ['a header without a colon', head(close, 'canary'), 400],
      ['a space before the colon', head(close, 'X-Canary : canary'), 400],
      ['NUL in a header', head(close, 'X-Canary: can\0ary'), 400],
      ['a folded header', head(close, 'X-A: canary', ' canary'), 400],
      ['a Content-Length that is no number', head(close, 'Content-Length: canary'), 400],
      ['a negative Content-Length', head(close, 'Content-Length: -1'), 400],
      ['an endless Content-Length', head(close, 'Content-Length: 99999999999999999999999'), 400],
      ['two Content-Lengths', head(close, length, 'Content-Length: 1') + body, 400],
      ['length and chunks at once', `${head(close, length, 'Transfer-Encoding: chunked')}0\r\n\r\n`, 400],
      ['an unknown transfer coding', head(close, 'Transfer-Encoding: canary') + body, 400],
      ['a chunk size that is no number', `${head(close, 'Transfer-Encoding: chunked')}canary\r\n`, 400],
      [
        'headers over the limit',
        head(close, ...Array.from({ length: 30 }, (_, i) => `X-${i}: ${'canary'.repeat(100)}`)),
        431,
      ],
      ['a URL over the limit', `GET /${'canary'.repeat(4000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
      ['a body over the limit', head(close, 'Content-Length: 999999') + 'canary'.repeat(4000), 400],
      [
        'chunks over the limit',
        `${head(close, 'Transfer-Encoding: chunked')}5000\r\n${'canary'.repeat(4000)}\r\n0\r\n\r\n`,
        400,
      ],
      ['CONNECT', 'CONNECT canary:443 HTTP/1.1\r\nHost: x\r\n\r\n', undefined],
      ['TRACE', 'TRACE /token HTTP/1.1\r\nHost: x\r\nX-Canary: canary\r\nConnection: close\r\n\r\n', 405],
      ['an absolute URL', `GET http://canary/canary HTTP/1.1\r\nHost: x\r\n${close}\r\n\r\n`, 404],
      ['an asterisk', `OPTIONS * HTTP/1.1\r\nHost: x\r\n${close}\r\n\r\n`, 404],
      ['an upgrade', `${head(length, 'Connection: Upgrade, close', 'Upgrade: websocket')}${body}`, 200],
      ['an expectation', `${head(length, close, 'Expect: canary')}${body}`, 417],
    ]
    for (const [name, octets, status] of rows) {
      const begin = performance.now()
      const received = await sendRaw(port, octets)
      t.equal(answersOf(received)[0]?.status, status, `${name}: ${status ?? 'closed'}`)
      // Five seconds is what a head may take.
      t.ok(performance.now() - begin < 4500, `${name}: at once`)
      expectManners(t, name, received)
    }
  })

  t.test('100 Continue', async (t) => {
    const received = await sendRaw(port, head(length, close, 'Expect: 100-continue') + body)
    t.strictSame(
      answersOf(received).map(({ status }) => status),
      [100, 200],
    )
  })

  t.test('pipelined requests are answered in order, each for itself', async (t) => {
    const bad = 'grant_type=canary'
    const received = await sendRaw(
      port,
      [
        head(length) + body,
        head(`Content-Length: ${bad.length}`) + bad,
        'GET /canary HTTP/1.1\r\nHost: x\r\n\r\n',
        head(length, close) + body,
      ].join(''),
    )
    t.strictSame(
      answersOf(received).map(({ status }) => status),
      [200, 400, 404, 200],
    )
    expectManners(t, 'pipelined', received)
  })

  t.test('half-closed sockets are closed, and others served', async (t) => {
    for (const octets of [head(length) + body, head('Content-Length: 9999') + body, 'POST /tok', '']) {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.end(octets)
      socket.resume()
      await once(socket, 'close')
      t.ok(await signIn(url, ada))
    }
  })

  // The server promises ten seconds for a whole request and five for its head; its clock ticks in between.
  t.test('who is slow is cut off in bounded time, and others are served meanwhile', async (t) => {
    const stalled = {
      'a head that never ends': 'POST /token HTTP/1.1\r\nHost: x\r\nX-Canary: ',
      'a body that never ends': `${head('Content-Length: 9999')}canary=canary`,
      'chunks that never end': `${head('Transfer-Encoding: chunked')}6\r\ncanary\r\n`,
    }
    const begin = performance.now()
    const waiting = Object.entries(stalled).map(async ([name, octets]) => {
      const received = await sendRaw(port, octets, 30_000).catch((error: Error) => error.message)
      return { name, received, ms: performance.now() - begin }
    })
    t.ok(await signIn(url, ada), 'others are served')
    for (const { name, received, ms } of await Promise.all(waiting)) {
      t.equal(answersOf(received)[0]?.status, 408, name)
      t.ok(ms < 15_000, `${name}: after ${Math.round(ms)} ms`)
      expectManners(t, name, received)
    }
  })

  t.test('it has taken no harm', async (t) => {
    t.ok(await signIn(url, ada))
    t.equal(server.stderr, '', 'nothing on stderr')
    t.notMatch(server.lines.join('\n'), /canary/i, 'nothing of a request in the log')
    t.strictSame(
      server.lines.filter((line) => line.includes('"level":50')),
      [],
      'no error in the log',
    )
  })
})
