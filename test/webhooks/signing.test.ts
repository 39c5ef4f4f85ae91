import { Webhook } from 'standardwebhooks'
import { test } from 'tap'
import { newMessageId, parseWebhookSecrets, signatureHeaders } from '../../src/webhooks/signing.ts'
import { newWebhookSecret } from '../support/webhook-receiver.ts'

test('the vector of the reference implementations', async (t) => {
  const secrets = parseWebhookSecrets('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const message = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: 1614265330,
    body: '{"test": 2432232314}',
  }
  t.strictSame(signatureHeaders(secrets, message), {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  })
})

test('while one secret replaces another, each of them verifies', async (t) => {
  const [fresh, old] = [newWebhookSecret(), newWebhookSecret()]
  const body = '{"of":"Zoë"}'
  const headers = signatureHeaders(parseWebhookSecrets(`${fresh} ${old}`), {
    id: newMessageId(),
    timestamp: Math.floor(Date.now() / 1000),
    body,
  })
  for (const secret of [fresh, old]) t.strictSame(new Webhook(secret).verify(body, headers), { of: 'Zoë' })
  const refused = (secret: string, text: string, more = {}) =>
    t.throws(() => new Webhook(secret).verify(text, { ...headers, ...more }))
  refused(newWebhookSecret(), body)
  refused(fresh, body.replace('Zoë', 'Zoe'))
  refused(fresh, body, { 'webhook-id': newMessageId() })
  refused(fresh, body, { 'webhook-timestamp': String(Math.floor(Date.now() / 1000) - 1) })
})

test('message ids', async (t) => {
  const ids = Array.from({ length: 1000 }, newMessageId)
  t.equal(new Set(ids).size, 1000)
  t.ok(ids.every((id) => /^msg_[\w-]{22}$/.test(id)))
})
