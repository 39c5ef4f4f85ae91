import { createHash } from 'node:crypto'
import { test } from 'tap'
import {
  clientIdFault,
  hashClientSecret,
  isAudience,
  isClientSecret,
  newClient,
  newClientSecret,
} from '../../src/accounts/client.ts'

const registration = { clientId: 'web', type: 'confidential', grants: ['password'] } as const

test('a secret is the client’s or not', async (t) => {
  const secret = newClientSecret()
  const client = newClient({ ...registration, secretHash: hashClientSecret(secret) })
  t.ok(isClientSecret(client, secret))
  for (const wrong of [
    '',
    secret.slice(1),
    `${secret} `,
    secret.toUpperCase(),
    newClientSecret(),
    client.secretHash ?? '',
  ]) {
    t.notOk(isClientSecret(client, wrong), `not ${wrong.slice(0, 8)}…`)
  }
  const rotated = newClientSecret()
  t.ok(isClientSecret({ ...client, secretHash: hashClientSecret(rotated) }, rotated))
  t.notOk(
    isClientSecret({ ...client, secretHash: hashClientSecret(rotated) }, secret),
    'the old one after a rotation',
  )
})

test('no secret is right for a client that has none, or that is unknown', async (t) => {
  const open = newClient({ ...registration, type: 'public' })
  for (const secret of ['', 'undefined', newClientSecret()]) {
    t.equal(isClientSecret(open, secret), false)
    t.equal(isClientSecret(undefined, secret), false)
  }
})

test('secrets are drawn, of characters that no encoding changes, and kept as SHA-256', async (t) => {
  const secrets = Array.from({ length: 1000 }, newClientSecret)
  t.ok(secrets.every((secret) => /^pcs_[A-Za-z0-9_-]{43}$/.test(secret)))
  t.ok(secrets.every((secret) => encodeURIComponent(secret) === secret))
  t.equal(new Set(secrets).size, 1000)
  t.equal(hashClientSecret('pcs_x'), createHash('sha256').update('pcs_x').digest('base64url'))
})

test('client identifiers', async (t) => {
  for (const id of ['a', 'web', 'A.b_c~d-9', '__proto__', 'x'.repeat(64)])
    t.equal(clientIdFault(id), undefined, id)
  for (const id of ['', 'a b', 'a:b', 'a%20b', 'a+b', 'é', 'a/b', 'web\n', 'x'.repeat(65)]) {
    t.match(clientIdFault(id), /^is not 1 to 64 of the characters/, JSON.stringify(id))
  }
})

test('audiences', async (t) => {
  for (const aud of ['api', 'https://api.example/v1?x=1#y', '!', '~', 'x'.repeat(255)])
    t.ok(isAudience(aud), aud)
  for (const aud of ['', 'a b', 'é', 'a\n', '\u007f', 'x'.repeat(256)])
    t.notOk(isAudience(aud), JSON.stringify(aud))
})

test('a new client: strict by default, each with an epoch of its own', async (t) => {
  const client = newClient(registration)
  t.match(client, {
    ...registration,
    scopes: [],
    audiences: [],
    disabled: false,
    onReuse: 'enforce',
    epoch: Number,
  })
  t.ok(Math.abs(client.createdAt - Date.now()) < 5000)
  t.not(newClient(registration).epoch, client.epoch)
  t.match(newClient({ ...registration, onReuse: 'observe', refreshTokenGrace: 0 }), {
    onReuse: 'observe',
    refreshTokenGrace: 0,
  })
})
