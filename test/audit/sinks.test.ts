import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { recordOf } from '../../src/audit/event.ts'
import { storeSink } from '../../src/audit/store-sink.ts'
import { webhookSink } from '../../src/audit/webhook-sink.ts'
import { parseWebhookSecrets } from '../../src/webhooks/signing.ts'
import { type AuditLine, auditEvent, auditEvents, deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, postForm, signIn } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { startReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts'

type Told = Readonly<Record<string, unknown>>

/** What the receiver has taken: each message once, in the order in which it came first. */
const dataOf = ({ received }: WebhookReceiver) => received.map(({ json }) => json.data as Told)
const eventsOf = (told: readonly Told[]) => told.map(({ event }) => event)
const idsOf = (told: readonly Told[]) => told.map(({ id }) => id)
const linesOf = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as AuditLine)

const webhookTo = (receiver: WebhookReceiver) => ({
  AUDIT_WEBHOOK_URL: receiver.url,
  AUDIT_WEBHOOK_SECRET: receiver.secret,
})

for (const kind of STORE_KINDS) {
  t.test(`an audit event is the same wherever it is told, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const receiver = await startReceiver(t)
    const file = join(deployment.cwd, 'audit.log')
    const server = await deployment.startServer({
      AUDIT_LOG: file,
      LOG_LEVEL: 'error',
      ...webhookTo(receiver),
    })
    const { access_token } = await signIn(server.url, ada)
    await postForm(`${server.url}/token`, { grant_type: 'password', ...ada, password: 'wrong' })
    await postForm(`${server.url}/revoke`, { client_id: 'ada', token: access_token })
    await until('the receiver has them', () => receiver.received.length >= 4)
    t.equal(await server.stop(), 0)

    const names = [
      'server.started',
      'sign_in.succeeded',
      'sign_in.failed',
      'session.revoked',
      'server.stopped',
    ]
    const delivered = dataOf(receiver)
    t.strictSame(eventsOf(delivered), names, 'delivered in order, the last one when the server stopped')

    const written = linesOf(file)
    t.strictSame(
      written.map(({ level: _, time: __, msg: ___, audit, ...record }) => ({ audit, ...record })),
      delivered.map((record) => ({ audit: true, ...record })),
      'in the file',
    )
    t.equal(statSync(file).mode & 0o777, 0o600)
    t.strictSame(auditEvents(server), [], 'and then not in the log')

    const { code, stdout } = await deployment.cli(['audit', 'list', '--json'])
    t.equal(code, 0)
    const kept = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Told)
    t.strictSame(
      kept.map(({ time: _, ...record }) => record),
      delivered,
      'in the store',
    )
    t.strictSame(
      kept.map(({ time }) => time),
      receiver.received.map(({ json }) => json.timestamp),
    )
    for (const { time } of kept) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

    const [started, succeeded, failed, revoked] = kept
    t.match(started, {
      actor: 'server',
      id: /^evt_/,
      configuration: { AUDIT_WEBHOOK_SECRET: '***', LOG_LEVEL: 'error' },
    })
    const origin = { network: '127.0.0.0/24', agent: String, client_id: 'ada', actor: 'client' }
    t.match(succeeded, { ...origin, sub: /^usr_/, sid: String })
    t.match(failed, { ...origin, sub: succeeded?.sub, reason: 'wrong password' })
    t.match(revoked, { ...origin, sid: succeeded?.sid, reason: 'client' })

    for (const { headers, body } of receiver.received) {
      const message = new Webhook(receiver.secret).verify(body, headers as Record<string, string>) as Told
      t.strictSame(Object.keys(message), ['type', 'timestamp', 'data'])
      t.equal(headers['webhook-id'], (message.data as Told).id)
      t.equal(message.type, (message.data as Told).event)
    }

    const again = await deployment.startServer({ AUDIT_LOG: file, AUDIT_STREAM_LENGTH: '0' })
    await again.stop()
    t.equal(linesOf(file).length, names.length + 2, 'the file is added to')
    const { stdout: after } = await deployment.cli(['audit', 'list', '--json'])
    t.equal(after, stdout, 'and with a length of 0 the store is not')
  })
}

t.test('the log is in its place', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const inLog = await deployment.startServer({ LOG_LEVEL: 'fatal' })
  await auditEvent(inLog, 'server.started', { audit: true })
  await inLog.stop()
  t.strictSame(eventsOf(auditEvents(inLog)), ['server.started', 'server.stopped'], 'whatever LOG_LEVEL says')
  const silent = await deployment.startServer({ LOG_LEVEL: 'silent' })
  await silent.stop()
  t.strictSame(silent.lines, [], 'but silent')
  const apart = await deployment.startServer({ LOG_LEVEL: 'silent', AUDIT_LOG: 'stderr' })
  await apart.stop()
  t.match(apart.stderr, /^\{.*"audit":true.*"server.started".*\}\n\{.*"server.stopped".*\}\n$/)
  const nowhere = await deployment.cli(['serve'], '', {
    AUDIT_LOG: join(deployment.cwd, 'none', 'audit.log'),
  })
  t.match(nowhere, { code: 78, stderr: /^AUDIT_LOG names a file in a folder that is not there\n$/ })
  t.notMatch(nowhere.stderr, /\n +at /)
})

t.test('a disk that is full fails no request', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer({ AUDIT_LOG: '/dev/full' })
  for (let i = 0; i < 3; i += 1) await signIn(server.url, ada)
  const said = await until('the log says so', () =>
    server.lines.find((line) => line.includes('audit events were dropped')),
  )
  t.match(JSON.parse(said), { sink: 'log', reason: 'ENOSPC' })
  t.equal(await server.stop(), 0)
})

t.test('a receiver that fails', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const receiver = await startReceiver(t)
  const server = await deployment.startServer(webhookTo(receiver))
  await until('it has the first', () => receiver.received.length === 1)
  const fail = () => postForm(`${server.url}/token`, { grant_type: 'password', ...ada, password: 'wrong' })
  const latest = () => dataOf(receiver).slice(1)

  t.test('is tried again, and gets all in order by the same ids', async (t) => {
    let refusals = 2
    receiver.answer = (_, response) => response.writeHead(refusals-- > 0 ? 500 : 204).end()
    for (let i = 0; i < 3; i += 1) await fail()
    await until('it has all', () => latest().length === 5)
    const ids = idsOf(latest())
    t.equal(new Set(ids).size, 3)
    t.strictSame(ids.slice(0, 3), [ids[0], ids[0], ids[0]], 'the first one until it is taken')
    const logged = auditEvents(server).filter(({ event }) => event === 'sign_in.failed')
    t.strictSame(ids.slice(2), idsOf(logged))
  })

  t.test('that is away for a while', async (t) => {
    const taking = receiver.answer
    const before = receiver.received.length
    receiver.answer = () => undefined
    await fail()
    await until('it was asked', () => receiver.received.length > before)
    await fail()
    t.equal(receiver.received.length, before + 1, 'no request waits for it: it is still being asked')
    await receiver.close()
    receiver.answer = taking
    await sleep(300)
    const asked = receiver.received.length
    await receiver.listen()
    await until('it has both', () => receiver.received.length >= asked + 2)
  })

  t.test('that does not answer when the server stops', async (t) => {
    receiver.answer = () => undefined
    await fail()
    await fail()
    await until('it was asked', () => latest().at(-1)?.id !== undefined)
    const begin = performance.now()
    t.equal(await server.stop(), 0)
    t.ok(performance.now() - begin < 8000, `${performance.now() - begin} ms`)
    const said = server.lines.find((line) => line.includes('audit events were dropped'))
    t.match(JSON.parse(said ?? '{}'), { sink: 'webhook', dropped: 3, reason: 'the server stops' })
  })
})

t.test('what waits when the server stops is delivered at once', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const receiver = await startReceiver(t)
  receiver.answer = (_, response) => response.writeHead(500).end()
  const server = await deployment.startServer(webhookTo(receiver))
  for (let i = 0; i < 8; i += 1) {
    await postForm(`${server.url}/token`, { grant_type: 'password', ...ada, password: 'wrong' })
  }
  // After the fourth it waits for two to four seconds, and a busy machine may have come further.
  const attempts = await until('it has been tried often', () => {
    const { length } = receiver.received
    return length >= 4 && length
  })
  receiver.answer = (_, response) => response.writeHead(204).end()
  t.equal(await server.stop(), 0)
  const told = eventsOf(dataOf(receiver).slice(attempts))
  t.strictSame(told, ['server.started', ...Array(8).fill('sign_in.failed'), 'server.stopped'])
})

t.test('a store that fails', async (t) => {
  const deployment = await deploy(t, 'redis')
  const ada = await deployment.addAccount('ada')
  const { redis } = deployment
  const server = await deployment.startServer()
  await redis?.cli('DEL', 'pawl:audit')
  await redis?.cli('SET', 'pawl:audit', 'no stream')
  const { access_token } = await signIn(server.url, ada)
  const { sid } = claimsOf(access_token)
  await auditEvent(server, 'sign_in.succeeded', { sid })
  await redis?.cli('DEL', 'pawl:audit')
  await until('it is written when the store is well again', async () =>
    (await deployment.cli(['audit', 'list'])).stdout.includes(String(sid)),
  )

  await redis?.cli('DEL', 'pawl:audit')
  await redis?.cli('SET', 'pawl:audit', 'no stream')
  await deployment.withStore(async (store) => {
    const told: [number, string][] = []
    const sink = storeSink(store.audit, 10_000, (...drops) => told.push(drops))
    const records = Array.from({ length: 1005 }, (_, i) => recordOf({ event: 'user.changed', sub: `u${i}` }))
    for (const record of records) sink.take(record)
    t.strictSame(told, [[1, 'too many are waiting']], 'the first drop is told at once')
    await redis?.cli('DEL', 'pawl:audit')
    const written = await until('what waited is written', async () => {
      const listed: unknown[] = []
      for await (const { record } of store.audit.list()) listed.push(record)
      return listed.length === 1000 && listed
    })
    t.strictSame(written, records.slice(0, 1000), 'in order')
    await redis?.cli('SET', 'pawl:audit', 'no stream')
    sink.take(records[0]!)
    await sleep(100)
    await sink.close(1000)
    t.equal(told[1]?.[0], 5, 'the others are told of by the end')
  })
})

t.test('a receiver that never answers, and too many events', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer = () => undefined
  const told: [number, string][] = []
  const sink = webhookSink({ url: receiver.url, secrets: parseWebhookSecrets(receiver.secret) }, (...drops) =>
    told.push(drops),
  )
  for (let i = 0; i < 10_003; i += 1) sink.take(recordOf({ event: 'user.changed' }))
  t.strictSame(told, [[1, 'too many are waiting']])
  const begin = performance.now()
  await sink.close(200)
  t.ok(performance.now() - begin < 4500, 'it ends before the call would')
  t.strictSame(told.slice(1), [[10_002, 'the server stops']])
})
