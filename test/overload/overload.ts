import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { count } from '../support/count.ts'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import { type Answer, basic, postForm, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** How much of each there is. */
export interface Amounts {
  readonly signIns: number
  readonly connections: number
  readonly slow: number
  readonly parameters: number
  /** Requests that one client sends, and how many of them at once. */
  readonly flood: number
  readonly atOnce: number
  /** Milliseconds within which 99 of 100 refreshes of others are answered meanwhile; of a few samples it is the worst. */
  readonly p99: number
  /** Whether a refresh of others may be told to come again (503), and is answered when a later try is. */
  readonly mayComeAgain: boolean
  /** Megabytes that the server may have come to hold at its worst. */
  readonly megabytes: number
}

/** Opening all at once would fill the queue of those that are not accepted yet. */
const OPENED_AT_ONCE = 200

/** The server closes a connection on which it has heard no head for 5 s; this is somewhat less. */
const SILENCE_MS = 4500

/** A connection, and since when, on the clock of `performance`. */
interface Opened {
  readonly socket: Socket
  readonly openedAt: number
}

/** Overloads one server in every way, one after the other, while others refresh. */
export async function overload(t: Test, kind: StoreKind, amounts: Amounts): Promise<void> {
  const deployment = await deploy(t, kind, { env: { SIGN_IN_FAILURES_PER_NETWORK: '1000' } })
  const ada = await deployment.addAccount('ada')
  const secret = await deployment.addConfidentialClient('web', { scopes: ['read'] })
  await deployment.closeStore()
  const server = await deployment.startServer()
  const other = await startOther(server, await signIn(server.url, ada), ada.client_id, amounts.mayComeAgain)
  await sleep(200)
  const before = memoryOf(server)

  let overloads = 0
  const during = async (name: string, work: () => Promise<unknown>) => {
    overloads += 1
    const from = other.waits.length
    const begin = performance.now()
    await work()
    await until('others were answered', () => other.waits.length >= from + 5 || other.failures.length > 0)
    const waits = other.waits.slice(from).sort((a, b) => a - b)
    const p99 = waits[Math.floor(waits.length * 0.99)] ?? 0
    const { rss, peak } = memoryOf(server)
    t.strictSame(
      other.failures,
      [],
      `${name}: ${waits.length} refreshes of others meanwhile, each one answered`,
    )
    t.ok(p99 < amounts.p99, `${name}: 99 % within ${p99.toFixed(0)} ms (${amounts.p99})`)
    t.ok(peak < amounts.megabytes, `${name}: at most ${peak} MB (${amounts.megabytes})`)
    const seconds = ((performance.now() - begin) / 1000).toFixed(1)
    t.comment(
      `figure: ${name} on ${kind}: ${seconds} s, refresh p99 ${p99.toFixed(0)} ms, RSS ${rss} MB, peak ${peak} MB, told to come again ${other.again} times so far`,
    )
  }

  await during(`${amounts.signIns} sign-ins at once`, async () => {
    const answers = await Promise.all(
      Array.from({ length: amounts.signIns }, () =>
        postForm(`${server.url}/token`, { grant_type: 'password', ...ada }),
      ),
    )
    expectOnly(t, answers, [200, 429, 503])
    t.ok(
      answers.some(({ status }) => status === 200),
      `${answers.filter(({ status }) => status === 200).length} are served`,
    )
  })

  await during(`${amounts.connections} connections that say nothing`, async () => {
    const sockets = await openMany(server, amounts.connections, '')
    const now = performance.now()
    // On a busy machine opening them takes longer than the server waits for a head.
    const young = sockets.filter(({ openedAt }) => now - openedAt < SILENCE_MS)
    t.ok(
      young.length > sockets.length / 2,
      `${young.length} of ${sockets.length} say nothing for less than ${SILENCE_MS} ms`,
    )
    t.equal(young.filter(({ socket }) => socket.destroyed).length, 0, 'all of these are open')
    await sleep(500)
    for (const { socket } of sockets) socket.destroy()
  })

  await during(`${amounts.slow} slow heads and ${amounts.slow} slow bodies`, async () => {
    const head = 'POST /token HTTP/1.1\r\nHost: x\r\n'
    const body = `${head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=`
    const opened = [
      ...(await openMany(server, amounts.slow, head)),
      ...(await openMany(server, amounts.slow, body)),
    ]
    const sockets = opened.map(({ socket }) => socket)
    // One octet now and then keeps nobody waiting for longer.
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write('x')
    }, 1000)
    await Promise.all(sockets.map(closed)).finally(() => clearInterval(drip))
    t.pass('the server has closed every one')
  })

  await during(`${amounts.parameters} parameters`, async () => {
    const all = Array.from({ length: amounts.parameters }, (_, i) => `${i.toString(36)}=`).join('&')
    expectOAuthError(t, await postForm(`${server.url}/token`, all), 'invalid_request')
    // As many as there is room for, under their own names and all under one.
    for (const form of [
      all.slice(0, 16_000),
      'a&'.repeat(8000),
      'scope=a&'.repeat(2000),
      '%41=&'.repeat(3000),
    ])
      expectOAuthError(t, await postForm(`${server.url}/token`, form), 'invalid_request')
  })

  await during(`${amounts.flood} requests of one client`, async () => {
    const junk = `prt_${'A'.repeat(88)}`
    const kinds = [
      () => tryRefresh(server.url, junk, { client_id: 'ada' }),
      () => postForm(`${server.url}/introspect`, { token: junk }, basic('web', secret)),
      () => postForm(`${server.url}/introspect`, { token: junk }, basic('web', 'wrong')),
      () => postForm(`${server.url}/revoke`, { token: junk, client_id: 'ada' }),
    ]
    let left = amounts.flood
    const answers: Answer[] = []
    const lane = async () => {
      while (left-- > 0) answers.push(await (kinds[left % kinds.length] ?? kinds[0]!)())
    }
    await Promise.all(Array.from({ length: amounts.atOnce }, lane))
    expectOnly(t, answers, [200, 400, 401, 429, 503])
  })

  await other.stop()
  t.ok(await signIn(server.url, ada), 'afterwards all is as before')
  t.equal(server.stderr, '')
  t.notOk(
    server.lines.find((line) => line.includes('unexpected failure')),
    'nothing was unexpected',
  )
  const { rss, peak } = memoryOf(server)
  count(t, { what: 'overloads', number: overloads, on: kind })
  t.comment(`figure: ${kind}: RSS ${before.rss} MB before, ${rss} MB after, ${peak} MB at most`)
  t.equal(await server.stop(), 0, 'and it stops in good order')
}

/** A session that is refreshed all along, as its client would. */
async function startOther(server: ServerProcess, tokens: Tokens, clientId: string, mayComeAgain: boolean) {
  let held = tokens.refresh_token
  let isStopped = false
  const waits: number[] = []
  const failures: unknown[] = []
  let again = 0
  let waitedMs = 0
  const run = async () => {
    while (!isStopped) {
      const answer = await tryRefresh(server.url, held, { client_id: clientId }).catch((error) => ({
        status: 0,
        text: String(error),
        json: undefined,
        ms: 0,
      }))
      waitedMs += answer.ms
      await sleep(50)
      if (mayComeAgain && answer.status === 503 && !('error' in (answer.json ?? {}))) {
        again += 1
        waitedMs += 50
        continue
      }
      if (answer.status === 200) held = String(answer.json?.refresh_token)
      else failures.push({ status: answer.status, text: answer.text })
      waits.push(waitedMs)
      waitedMs = 0
    }
  }
  const running = run()
  return {
    waits,
    failures,
    get again() {
      return again
    },
    async stop() {
      isStopped = true
      await running
    },
  }
}

async function openMany({ port }: ServerProcess, number: number, octets: string): Promise<Opened[]> {
  const sockets: Opened[] = []
  while (sockets.length < number) {
    const openedAt = performance.now()
    const some = Array.from({ length: Math.min(OPENED_AT_ONCE, number - sockets.length) }, () => {
      const socket = connect(port, '127.0.0.1')
      // What the server closes may be reset, too.
      socket.on('error', () => undefined)
      socket.resume()
      return socket
    })
    await Promise.all(some.map((socket) => once(socket, 'connect')))
    if (octets !== '') for (const socket of some) socket.write(octets)
    sockets.push(...some.map((socket) => ({ socket, openedAt })))
  }
  return sockets
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await once(socket, 'close')
}

/** Every answer is of one of these, and is what such an answer must be. */
function expectOnly(t: Test, answers: readonly Answer[], statuses: readonly number[]): void {
  const counts = new Map<number, number>()
  for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1)
  const others = answers.filter(({ status }) => !statuses.includes(status))
  t.strictSame(
    others.map(({ status, text }) => ({ status, text })),
    [],
    JSON.stringify(Object.fromEntries(counts)),
  )
  for (const status of [429, 503]) {
    const [first] = answers.filter((answer) => answer.status === status)
    if (!first) continue
    expectProblem(t, first, status)
    t.match(first.headers['retry-after'], /^[1-9]\d*$/, 'it says when to come again')
  }
  const isOurs = ({ status, json }: Answer) => (status === 429 || status === 503) && 'error' in (json ?? {})
  t.equal(answers.filter(isOurs).length, 0, 'no trouble of ours is called the client’s')
}

/** Megabytes that the process holds in memory, and the most that it ever did. Linux tells. */
function memoryOf({ pid }: ServerProcess): { rss: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (name: string) =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024)
  return { rss: megabytes('VmRSS'), peak: megabytes('VmHWM') }
}
