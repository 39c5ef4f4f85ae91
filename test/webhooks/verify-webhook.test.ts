import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { UnavailableError } from '../../src/oauth/errors.ts'
import { parseWebhookSecrets } from '../../src/webhooks/signing.ts'
import { createVerifyWebhook } from '../../src/webhooks/verify-webhook.ts'
import { until } from '../support/until.ts'
import { respond, startReceiver } from '../support/webhook-receiver.ts'

const QUESTION = { username: 'ada', password: 'x', clientId: 'web' }
const OPEN_MS = 5000

async function setUp(t: Test) {
  const receiver = await startReceiver(t)
  const changes: string[] = []
  const webhook = createVerifyWebhook(
    { url: receiver.url, secrets: parseWebhookSecrets(receiver.secret) },
    (state) => changes.push(state),
  )
  /** What a question comes to: the result, or why there is none. */
  const outcome = () =>
    webhook.verify(QUESTION).then(
      ({ result }) => result,
      (error: unknown) => {
        t.ok(error instanceof UnavailableError)
        return String(((error as Error).cause as Error).message)
      },
    )
  return { receiver, changes, outcome }
}

t.test('no more than 64 questions are under way', async (t) => {
  const { receiver, outcome } = await setUp(t)
  const open: (() => void)[] = []
  receiver.answer = (_, response) => open.push(() => respond(response, { result: 'denied' }))
  const asked = Array.from({ length: 64 }, outcome)
  t.equal(await outcome(), 'verify webhook: too many calls are under way', 'the next one is refused at once')
  await until('all have come', () => open.length === 64)
  for (const answer of open) answer()
  t.strictSame(new Set(await Promise.all(asked)), new Set(['denied']))
  receiver.answer = (_, response) => respond(response, { result: 'denied' })
  t.equal(await outcome(), 'denied', 'and then there is room again')
})

t.test('the breaker', async (t) => {
  const { receiver, changes, outcome } = await setUp(t)
  const status = (code: number) => {
    receiver.answer = (_, response) => response.writeHead(code).end()
  }
  status(500)
  for (let i = 0; i < 10; i += 1) t.equal(await outcome(), 'verify webhook: status 500')
  t.strictSame(changes, [], 'stays closed over answers that concern one question')

  for (const code of [502, 503, 504, 429]) {
    status(code)
    t.equal(await outcome(), `verify webhook: status ${code}`)
  }
  receiver.answer = (_, response) => respond(response, { result: 'unknown' })
  t.equal(await outcome(), 'unknown', 'an answer begins the count anew')
  await receiver.close()
  for (let i = 0; i < 5; i += 1) t.match(await outcome(), /ECONNREFUSED|ECONNRESET|SOCKET/)
  t.strictSame(changes, ['fails'], 'five failures open it')

  await receiver.listen()
  receiver.received.length = 0
  t.match(await outcome(), /failed too often/)
  await sleep(OPEN_MS)
  const answers = await Promise.all(Array.from({ length: 10 }, outcome))
  t.equal(receiver.received.length, 1, 'one tries')
  t.equal(answers[0], 'unknown')
  t.strictSame(new Set(answers.slice(1)), new Set(['verify webhook: it is being tried again']))
  t.strictSame(changes, ['fails', 'answers'])
  t.equal(await outcome(), 'unknown', 'and it is closed')
})
