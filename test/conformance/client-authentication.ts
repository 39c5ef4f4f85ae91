import { hashClientSecret } from '../../src/accounts/client.ts'
import { inRounds } from '../support/at-best.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import { basic, encode, type Headers } from '../support/http-client.ts'
import { ADA, APP, basicOf, type ClientProof, shapeOf } from './context.ts'
import { withCountedServer } from './counted-server.ts'
import type { Row } from './row.ts'

const SIGN_IN = { grant_type: 'password', ...ADA } as const
const ODD = 'a b:%+é'
// Raw and form-decoded this is two secrets.
const AMBIGUOUS = 'x%41y+z'
const formEncoded = (text: string) => String(encode({ x: text })).slice('x='.length)

/** How often C17 asks each way, in turns, before it compares the least times. */
const ROUNDS = 60

/** Where a client proves who it is, and what else the request needs there. */
const ENDPOINTS = {
  password: ['token', SIGN_IN],
  refresh_token: ['token', { grant_type: 'refresh_token', refresh_token: 'x' }],
  client_credentials: ['token', { grant_type: 'client_credentials' }],
  revocation: ['revoke', { token: 'x' }],
  introspection: ['introspect', { token: 'x' }],
} as const

/** The rows on client authentication. */
export const CLIENT_AUTHENTICATION: readonly Row[] = [
  {
    id: 'C12',
    title: 'Basic and body secrets both work',
    async hold(t, { web, ...context }) {
      const { authorization } = basicOf(web)
      for (const [name, [path, form]] of Object.entries(ENDPOINTS)) {
        const isTaken = async (proof: ClientProof, headers: Headers, how: string) => {
          const answer = await context[path]({ ...form, ...proof }, headers)
          const expected = name === 'refresh_token' ? 'invalid_grant' : undefined
          t.match([answer.status, answer.json?.error], [expected ? 400 : 200, expected], `${name}: ${how}`)
        }
        await isTaken(web, {}, 'body')
        for (const scheme of ['Basic', 'basic', 'BASIC', 'bAsIc']) {
          await isTaken({}, { authorization: authorization.replace('Basic', scheme) }, scheme)
        }
        await isTaken({}, { authorization: authorization.replace('Basic', 'Basic   ') }, 'more spaces')
        await isTaken({ client_id: 'web' }, basicOf(web), 'Basic and the same client_id')
        await isTaken({ client_secret: '' }, basicOf(web), 'Basic and an empty client_secret')
      }
    },
  },
  {
    id: 'C13',
    title: 'Basic values are form-decoded, and read raw as well',
    async hold(t, { token, deployment, web }) {
      const secretOf = (secret: string) => ({
        type: 'confidential' as const,
        secretHash: hashClientSecret(secret),
      })
      await deployment.addClient('odd', secretOf(ODD))
      await deployment.addClient('ambiguous', secretOf(AMBIGUOUS))
      const rows: [name: string, headers: Headers, taken: boolean][] = [
        ['encoded', basic('odd', formEncoded(ODD)), true],
        ['encoded, a space as %20', basic('odd', encodeURIComponent(ODD)), true],
        ['raw, where decoding fails', basic('odd', ODD), true],
        ['encoded, where both can be read', basic('ambiguous', formEncoded(AMBIGUOUS)), true],
        ['raw, where both can be read', basic('ambiguous', AMBIGUOUS), true],
        ['a secret that only decodes to the same', basic('ambiguous', 'xAy z'), false],
        ['an encoded client id', basic('%77eb', web.client_secret), true],
        ['of another', basic('odd', formEncoded(AMBIGUOUS)), false],
      ]
      for (const [name, headers, taken] of rows) {
        const answer = await token(SIGN_IN, headers)
        if (taken) t.equal(answer.status, 200, name)
        else expectOAuthError(t, answer, 'invalid_client', name)
      }
      t.equal((await token({ ...SIGN_IN, client_id: 'odd', client_secret: ODD })).status, 200, 'in the body')
      const halfway = await token({ ...SIGN_IN, client_id: 'odd' }, basic('odd', ODD))
      t.equal(halfway.status, 200, 'with a client_id that is that of the raw reading')
    },
  },
  {
    id: 'C14',
    title: 'a wrong secret is 401 with a challenge',
    async hold(t, { web, api, ...context }) {
      const { client_id, client_secret } = web
      for (const [path, form] of Object.values(ENDPOINTS)) {
        const refused = async (proof: ClientProof, headers: Headers, name: string) => {
          const answer = await context[path]({ ...form, ...proof }, headers)
          expectOAuthError(t, answer, 'invalid_client', `${path}: ${name}`)
          t.equal(answer.headers['www-authenticate'], 'Basic realm="pawl", charset="UTF-8"')
        }
        const secrets = [
          'wrong',
          api.client_secret,
          `${client_secret}x`,
          client_secret.toLowerCase(),
          hashClientSecret(client_secret),
        ]
        for (const secret of secrets) {
          await refused({}, basic(client_id, secret), 'Basic')
          await refused({ client_id, client_secret: secret }, {}, 'body')
        }
        for (const header of [
          '',
          'Basic',
          'Basic !',
          'Basic d2Vi',
          'Bearer x',
          `Basic ${client_secret}`,
          'Digest username="web"',
        ]) {
          await refused(APP, { authorization: header }, `Authorization: ${header.slice(0, 9)}`)
        }
      }
    },
  },
  {
    id: 'C15',
    title: 'two methods at once are refused',
    async hold(t, { web, api, ...context }) {
      const wrong = basic('web', 'wrong')
      const rows: [name: string, proof: ClientProof, headers: Headers][] = [
        ['Basic and body', web, basicOf(web)],
        ['Basic and a wrong body', { ...web, client_secret: 'x' }, basicOf(web)],
        ['a wrong Basic and a body', web, wrong],
        ['Basic and a secret without a client', { client_secret: web.client_secret }, basicOf(web)],
        ['Basic and another client_id', { client_id: 'api' }, basicOf(web)],
        ['Basic and another client with its secret', api, basicOf(web)],
        ['Basic and a public client_id', APP, basicOf(web)],
        ['Basic and an unknown client_id', { client_id: 'nobody' }, basicOf(web)],
        ['a wrong Basic and another client_id', { client_id: 'api' }, wrong],
        ['Basic of nobody and a public client_id', APP, basic('nobody', 'x')],
        ['a public client in Basic, another in the body', { client_id: 'web' }, basic('app', '')],
      ]
      for (const [grant, [path, form]] of Object.entries(ENDPOINTS)) {
        for (const [name, proof, headers] of rows) {
          const answer = await context[path]({ ...form, ...proof }, headers)
          expectOAuthError(t, answer, 'invalid_request', `${grant}: ${name}`)
        }
      }
    },
  },
  {
    id: 'C16',
    title: 'a confidential client without its secret is refused everywhere',
    async hold(t, { web, signIn, refresh, ...context }) {
      const held = await signIn(web)
      const { refresh_token, access_token } = held
      const bare: [name: string, proof: ClientProof, headers: Headers][] = [
        ['its name alone', { client_id: 'web' }, {}],
        ['an empty secret', { client_id: 'web', client_secret: '' }, {}],
        ['an empty secret in Basic', {}, basic('web', '')],
      ]
      const forms = [
        ...Object.values(ENDPOINTS),
        ['token', { grant_type: 'refresh_token', refresh_token }],
        ['revoke', { token: refresh_token }],
        ['introspect', { token: access_token }],
      ] as const
      for (const [path, form] of forms) {
        for (const [name, proof, headers] of bare) {
          const answer = await context[path]({ ...form, ...proof }, headers)
          expectOAuthError(t, answer, 'invalid_client', `${path}: ${name}`)
        }
      }
      // Who names no client at all leaves out a parameter; introspection asks for credentials (RFC 7662 section 2.1).
      for (const [path, form] of forms) {
        const error = path === 'introspect' ? 'invalid_client' : 'invalid_request'
        expectOAuthError(t, await context[path](form), error, `${path}: nothing at all`)
      }
      t.ok(await refresh(held, web), 'and nothing has happened to its session')
    },
  },
  {
    id: 'C17',
    title: 'an unknown client and a wrong secret look the same',
    alone: true,
    async hold(t, context) {
      const { web, registerConfidential, register } = context
      const disabled = await registerConfidential('disabled', { disabled: true })
      await register('disabled-public', { disabled: true })
      const ways: Record<string, [proof: ClientProof, headers: Headers]> = {
        'a wrong secret in Basic': [{}, basic('web', 'wrong')],
        'an unknown client in Basic': [{}, basic('nobody', 'wrong')],
        'a disabled client in Basic': [{}, basicOf(disabled)],
        'a wrong secret': [{ ...web, client_secret: 'wrong' }, {}],
        'an unknown client': [{ client_id: 'nobody', client_secret: 'wrong' }, {}],
        'a disabled client': [disabled, {}],
        'an unknown public client': [{ client_id: 'nobody' }, {}],
        'a disabled public client': [{ client_id: 'disabled-public' }, {}],
        'a confidential client as a public one': [{ client_id: 'web' }, {}],
        'a public client with a secret': [{ ...APP, client_secret: 'x' }, {}],
      }
      for (const [path, form] of Object.values(ENDPOINTS)) {
        let first: ReturnType<typeof shapeOf> | undefined
        for (const [name, [proof, headers]] of Object.entries(ways)) {
          const answer = await context[path]({ ...form, ...proof }, headers)
          expectOAuthError(t, answer, 'invalid_client', name)
          first ??= shapeOf(answer)
          t.strictSame(shapeOf(answer), first, `${name}: the same bytes and headers`)
        }
      }
      await withCountedServer(context, 117, async ({ token, count }) => {
        for (const [name, [proof, headers]] of Object.entries(ways)) {
          const asked = await count(() => token({ ...SIGN_IN, ...proof }, headers))
          const work = ['clients.find', 'attempts.count']
          t.strictSame(asked, work, `${name}: one look into the store, one count, and no password hashed`)
        }
        const times = { unknown: [] as number[], wrong: [] as number[] }
        const ratio = () => Math.min(...times.unknown) / Math.min(...times.wrong)
        const areAlike = () => ratio() > 0.6 && ratio() < 1.6
        await inRounds({ least: ROUNDS, most: 10 * ROUNDS }, areAlike, async (round) => {
          // Beyond the budget of failures of one network the answer would be another.
          const from = { 'x-forwarded-for': `203.${round >> 8}.${round & 255}.1` }
          times.unknown.push((await token(SIGN_IN, { ...basic('nobody', 'wrong'), ...from })).ms)
          times.wrong.push((await token(SIGN_IN, { ...basic('web', 'wrong'), ...from })).ms)
        })
        t.ok(areAlike(), `the ratio of the least times is ${ratio().toFixed(2)}`)
      })
    },
  },
  {
    id: 'C18',
    title: 'a public client that sends a secret is refused',
    async hold(t, context) {
      const secrets = ['x', ' ', 'null', '0']
      for (const [name, [path, form]] of Object.entries(ENDPOINTS)) {
        for (const secret of secrets) {
          const inBody = await context[path]({ ...form, ...APP, client_secret: secret })
          expectOAuthError(t, inBody, 'invalid_client', `${name}: body`)
          expectOAuthError(
            t,
            await context[path](form, basic('app', secret)),
            'invalid_client',
            `${name}: Basic`,
          )
        }
      }
      const { token } = context
      t.equal((await token(SIGN_IN, basic('app', ''))).status, 200, 'an empty one in Basic is none')
      t.equal((await token({ ...SIGN_IN, ...APP, client_secret: '' })).status, 200, 'nor in the body')
      t.equal(
        (await token({ ...SIGN_IN, ...APP }, basic('app', ''))).status,
        200,
        'nor with its name in the body',
      )
    },
  },
  {
    id: 'C19',
    title: 'failed client authentications are throttled, and no user is for them',
    async hold(t, { web, from, ...context }) {
      const { token, signIn } = context
      let failures = 0
      let throttled: Awaited<ReturnType<typeof token>> | undefined
      // As golang.org/x/oauth2 does it: each failed call once more, with the other method.
      while (!throttled && failures < 500) {
        for (const answer of [
          await token(SIGN_IN, basic('web', 'wrong')),
          await token({ ...SIGN_IN, ...web, client_secret: 'wrong' }),
        ]) {
          if (answer.status === 429) throttled = answer
          else {
            expectOAuthError(t, answer, 'invalid_client')
            failures += 1
          }
        }
      }
      t.ok(failures >= 20 && failures < 500, `throttled after ${failures} failures`)
      for (const [path, form] of Object.values(ENDPOINTS)) {
        const answer = await context[path](form, basic('web', 'wrong'))
        expectProblem(t, answer, 429, path)
        const seconds = Number(answer.headers['retry-after'])
        t.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `Retry-After: ${seconds}`)
        t.strictSame(
          shapeOf(await context[path](form, basic('nobody', 'wrong'))).text,
          answer.text,
          'an unknown client is told the same',
        )
      }
      t.equal((await token(SIGN_IN, basicOf(web))).status, 200, 'the right secret is taken all the same')
      t.ok(await signIn(), 'the user signs in, from the same network')
      const elsewhere = { 'x-forwarded-for': '203.0.113.1' }
      expectOAuthError(
        t,
        await token(SIGN_IN, { ...basic('web', 'wrong'), ...elsewhere }),
        'invalid_client',
        'elsewhere',
      )
    },
  },
]
