import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { type Client, hashClientSecret, newClient } from '../../src/accounts/client.ts'
import {
  authenticateClient,
  CLIENT_PARAMETERS,
  type ClientRequest,
  type Credentials,
  readCredentials,
} from '../../src/grants/authenticate-client.ts'
import { createFailureThrottle } from '../../src/grants/failure-throttle.ts'
import { parseForm } from '../../src/oauth/form.ts'
import type { Store } from '../../src/stores/contract.ts'
import { openHandle } from '../stores/handles.ts'

/*
 * The law of client authentication, case by case, on a store in this process. What a client sees of it over HTTP is in
 * client-authentication.test.ts.
 */
const SECRET = 'pcs_R2D2-is.a~secret'
const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64')
const basic = (text: string | Buffer) => `Basic ${base64(text)}`

const invalidClient = (detail: string) => ({
  name: 'OAuthError',
  code: 'invalid_client',
  message: 'Client authentication failed',
  detail,
})
const invalidRequest = (message: string) => ({ name: 'OAuthError', code: 'invalid_request', message })
const NOT_BASIC = invalidClient('the Authorization header is not Basic')
const NOT_UTF8 = invalidClient('the Basic credentials are not UTF-8')
const NO_COLON = invalidClient('the Basic credentials have no colon')
const UNKNOWN = invalidClient('unknown client, wrong secret, or disabled')
const MISSING = invalidRequest('The client_id is missing')
const TWO_METHODS = invalidRequest('More than one client authentication method was used')
const ANOTHER = invalidRequest('The client_id is not the one of the Authorization header')

const read = (authorization: string | undefined, body = '') => readCredentials(authorization, parseForm(body))

test('credentials in the body', async (t) => {
  t.strictSame(CLIENT_PARAMETERS, ['client_id', 'client_secret'])
  t.strictSame(read(undefined, 'client_id=web&client_secret=x'), [{ clientId: 'web', secret: 'x' }])
  t.strictSame(read(undefined, 'client_id=app'), [{ clientId: 'app', secret: '' }], 'the method none')
  t.strictSame(read(undefined, 'client_id=app&client_secret='), [{ clientId: 'app', secret: '' }])
  t.throws(() => read(undefined), MISSING)
  t.throws(() => read(undefined, 'client_secret=x'), MISSING)
})

test('credentials by Basic', async (t) => {
  const rows: [authorization: string, readings: Credentials[]][] = [
    [basic('web:x'), [{ clientId: 'web', secret: 'x' }]],
    [basic('web:'), [{ clientId: 'web', secret: '' }]],
    [basic(':x'), [{ clientId: '', secret: 'x' }]],
    [basic('web:a:b:'), [{ clientId: 'web', secret: 'a:b:' }]],
    [`bAsIc   ${base64('web:x')}`, [{ clientId: 'web', secret: 'x' }]],
    [basic('web:xy').replaceAll('=', ''), [{ clientId: 'web', secret: 'xy' }]],
    [basic('web:xyz').replaceAll('=', ''), [{ clientId: 'web', secret: 'xyz' }]],
    [
      basic('%77eb:a+b%25'),
      [
        { clientId: 'web', secret: 'a b%' },
        { clientId: '%77eb', secret: 'a+b%25' },
      ],
    ],
    [
      basic('web:a+b'),
      [
        { clientId: 'web', secret: 'a b' },
        { clientId: 'web', secret: 'a+b' },
      ],
    ],
    [
      basic('w+b:x'),
      [
        { clientId: 'w b', secret: 'x' },
        { clientId: 'w+b', secret: 'x' },
      ],
    ],
    // What cannot be decoded was sent raw.
    [basic('web:100%'), [{ clientId: 'web', secret: '100%' }]],
    [basic('%ff:x'), [{ clientId: '%ff', secret: 'x' }]],
    [basic('zoë:\ufeffx'), [{ clientId: 'zoë', secret: '\ufeffx' }]],
    [basic('\ufeffweb:x'), [{ clientId: '\ufeffweb', secret: 'x' }]],
  ]
  for (const [authorization, readings] of rows) t.strictSame(read(authorization), readings, authorization)
})

test('what is no Basic', async (t) => {
  const token = base64('web:x')
  const rows: [authorization: string, error: typeof NOT_BASIC][] = [
    ['', NOT_BASIC],
    ['Basic', NOT_BASIC],
    ['Basic ', NOT_BASIC],
    [`Basic${token}`, NOT_BASIC],
    [` Basic ${token}`, NOT_BASIC],
    [`xBasic ${token}`, NOT_BASIC],
    [`Basic\t${token}`, NOT_BASIC],
    [`Basic ${token} `, NOT_BASIC],
    [`Basic ${token}, Basic ${token}`, NOT_BASIC],
    [`Bearer ${token}`, NOT_BASIC],
    ['Basic d2Vi-_==', NOT_BASIC],
    [`Basic ${token}===`, NOT_BASIC],
    // A character that no octet comes of would be another spelling of the same credentials.
    [`Basic ${base64('web:xy').replaceAll('=', '')}A`, NOT_BASIC],
    ['Basic A', NOT_BASIC],
    ['Basic ==', NO_COLON],
    [basic('web'), NO_COLON],
    [basic('web%3Ax'), NO_COLON],
    [basic(Buffer.from('web:\xe9', 'latin1')), NOT_UTF8],
    [basic(Buffer.from([0x77, 0x3a, 0xc0, 0x80])), NOT_UTF8],
  ]
  for (const [authorization, error] of rows) t.throws(() => read(authorization), error, authorization)
})

test('one method in a request, and one client', async (t) => {
  const web = [{ clientId: 'web', secret: 'x' }]
  t.strictSame(read(basic('web:x'), 'client_id=web'), web)
  t.strictSame(read(basic('web:x'), 'client_secret='), web, 'an empty secret is none')
  t.throws(() => read(basic('web:x'), 'client_secret=x'), TWO_METHODS)
  t.throws(() => read('Bearer x', 'client_secret=x'), TWO_METHODS)
  t.throws(() => read(basic('web:x'), 'client_id=app'), ANOTHER)
  t.throws(() => read(basic('web:x'), 'client_id=Web'), ANOTHER)
  for (const either of ['w b', 'w+b'])
    t.equal(read(basic('w+b:x'), `client_id=${encodeURIComponent(either)}`).length, 2, either)
  t.throws(() => read(basic('w+b:x'), 'client_id=w'), ANOTHER)
})

const FAILURES = 3
const sender = (network: string) => ({ network, agent: 'a client' })
const registered = (clientId: string, more: Partial<Client>) =>
  newClient({
    clientId,
    type: 'confidential',
    grants: ['password'],
    secretHash: hashClientSecret(SECRET),
    ...more,
  })
const CLIENTS = {
  web: registered('web', {}),
  off: registered('off', { disabled: true }),
  app: (({ secretHash: _, ...client }) => client)(registered('app', { type: 'public' })),
  'app-off': (({ secretHash: _, ...client }) => client)(
    registered('app-off', { type: 'public', disabled: true }),
  ),
}

/** A server's services: what it recalls of clients, a store that has them, and how often that was asked. */
async function prepare(t: Test, recalled: Readonly<Record<string, Client>> = {}) {
  // Of its own even where this file runs several times at once, as it does in mutation testing.
  const folder = await mkdtemp(join(tmpdir(), 'pawl-clients-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const store: Store = await openHandle(t, `lmdb:${folder}`)
  for (const client of Object.values(CLIENTS)) await store.clients.create(client)
  const asked: string[] = []
  const clients = {
    ...store.clients,
    recall: (clientId: string) => recalled[clientId],
    find(clientId: string) {
      asked.push(clientId)
      return store.clients.find(clientId)
    },
  }
  const services = {
    store: { ...store, clients },
    clientFailures: createFailureThrottle(store, FAILURES, 60),
  }
  let network = 0
  const authenticate = (body: string, authorization?: string, from = `10.0.${network++}.0/24`) => {
    const request: ClientRequest = {
      form: parseForm(body),
      authorization,
      sender: sender(from),
      prefix: () => from,
    }
    return authenticateClient(services, request)
  }
  return { authenticate, asked: () => asked.splice(0) }
}

const inBody = (clientId: string, secret = '') => `client_id=${clientId}&client_secret=${secret}`

test('who proves to be a client', async (t) => {
  const { authenticate, asked } = await prepare(t)
  t.match(await authenticate(inBody('web', SECRET)), { clientId: 'web' })
  t.strictSame(asked(), ['web'])
  t.match(await authenticate('', basic(`web:${SECRET}`)), { clientId: 'web' })
  t.match(await authenticate('', basic(`%77eb:${SECRET}`)), { clientId: 'web' })
  t.match(await authenticate(inBody('app')), { clientId: 'app' }, 'a public client says who it is')
  t.match(await authenticate('', basic('app:')), { clientId: 'app' })
  asked()
  for (const [clientId, secret] of [
    ['web', `${SECRET}x`],
    ['web', SECRET.toLowerCase()],
    ['web', ''],
    ['web', hashClientSecret(SECRET)],
    ['nobody', SECRET],
    ['nobody', ''],
    ['off', SECRET],
    ['app', SECRET],
    ['app-off', ''],
    ['Web', SECRET],
  ] as const) {
    await t.rejects(authenticate(inBody(clientId, secret)), UNKNOWN, `${clientId}: ${secret}`)
    t.strictSame(asked(), [clientId], 'one look, whether there is such a client or not')
  }
})

test('a confidential client without a secret, which no store gives, is let in by none', async (t) => {
  const { secretHash: _, ...bare } = registered('bare', {})
  const { authenticate } = await prepare(t, { bare })
  for (const secret of ['', SECRET, 'undefined'])
    await t.rejects(authenticate(inBody('bare', secret)), UNKNOWN, secret)
})

test('what is recalled may let in, and never refuses', async (t) => {
  const former = { ...CLIENTS.web, secretHash: hashClientSecret('the former secret') }
  const { authenticate, asked } = await prepare(t, { web: former, off: { ...CLIENTS.off, disabled: false } })
  t.equal(await authenticate(inBody('web', 'the+former+secret')), former, 'while it is recalled')
  t.strictSame(asked(), [], 'without a look')
  t.match(await authenticate(inBody('web', SECRET)), CLIENTS.web, 'the new secret counts at once')
  t.strictSame(asked(), ['web'])
  await t.rejects(authenticate(inBody('web', 'neither')), UNKNOWN)
  t.strictSame(asked(), ['web'])
  t.match(await authenticate(inBody('off', SECRET)), { clientId: 'off' })
  await t.rejects(authenticate(inBody('app', 'x')), UNKNOWN)
  t.match(await authenticate(inBody('app')), { clientId: 'app' }, 'of whom nothing is recalled is looked for')
})

test('failures are counted by network, and keep nobody out who has the secret', async (t) => {
  const { authenticate } = await prepare(t)
  const throttled = { name: 'ThrottledError' }
  for (let i = 0; i < FAILURES; i += 1)
    await t.rejects(authenticate(inBody('web', 'x'), undefined, 'here'), UNKNOWN)
  await t.rejects(authenticate(inBody('web', 'x'), undefined, 'here'), throttled)
  await t.rejects(authenticate(inBody('nobody'), undefined, 'here'), throttled, 'whoever they say they are')
  t.match(await authenticate(inBody('web', SECRET), undefined, 'here'), { clientId: 'web' })
  await t.rejects(
    authenticate(inBody('web', 'x'), undefined, 'there'),
    UNKNOWN,
    'another network has its own',
  )
})
