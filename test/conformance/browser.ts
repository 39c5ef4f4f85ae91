import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from '../support/http-client.ts'
import { ADA, APP } from './context.ts'
import type { Row } from './row.ts'

const OURS = 'https://app.example.com'
const THEIRS = 'https://other.example.com'
const STRANGERS = [
  'https://evil.example',
  'null',
  'http://app.example.com',
  'https://app.example.com:444',
  'https://app.example.com.evil.example',
  'https://evil-app.example.com',
  'https://APP.example.com',
  'https://app.example.com/',
  '*',
]

const exposed = ({ headers }: Answer) => String(headers['access-control-expose-headers']).split(', ').sort()

/** The row on CORS. */
export const BROWSER: readonly Row[] = [
  {
    id: 'C46',
    title: 'CORS for the client’s registered origins only',
    async hold(t, { register, token, revoke, introspect, send, get, web }) {
      const ours = await register('browser-app', { origins: [OURS, 'http://localhost:5173'] })
      const theirs = await register('other-browser-app', { origins: [THEIRS] })
      // The origins of all clients are summed up at most once a second.
      await sleep(1100)
      const allowed = ({ headers }: Answer) => headers['access-control-allow-origin']
      const answers: Answer[] = []
      const noted = async (answer: Promise<Answer>) => {
        const got = await answer
        answers.push(got)
        return got
      }
      const signIn = { grant_type: 'password', ...ADA }
      const asked = {
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      }
      for (const path of ['/token', '/revoke']) {
        for (const origin of [OURS, 'http://localhost:5173', THEIRS]) {
          const preflight = await noted(send('OPTIONS', path, { origin, ...asked }))
          t.match(preflight, { status: 204, text: '', headers: { vary: /Origin/i } }, `${path} ${origin}`)
          t.equal(allowed(preflight), origin)
          t.match(preflight.headers['access-control-allow-methods'], /\bPOST\b/)
          t.match(preflight.headers['access-control-allow-headers'], /authorization/i)
          t.match(preflight.headers['access-control-allow-headers'], /content-type/i)
          t.match(preflight.headers['access-control-max-age'], /^\d+$/)
        }
        for (const origin of STRANGERS) {
          const preflight = await noted(send('OPTIONS', path, { origin, ...asked }))
          const granting = Object.keys(preflight.headers).filter((name) => name.startsWith('access-control-'))
          t.strictSame([preflight.status, granting], [204, []], `${path} ${origin}`)
        }
      }
      const cases: [name: string, client: object, origin: string, allows: boolean][] = [
        ['its own origin', ours, OURS, true],
        ['its other origin', ours, 'http://localhost:5173', true],
        ['another client’s origin', ours, THEIRS, false],
        ['the other way round', theirs, OURS, false],
        ['a client without origins', APP, OURS, false],
        ['a confidential client', web, OURS, false],
        ...STRANGERS.map(
          (origin) => [`a stranger: ${origin}`, ours, origin, false] as [string, object, string, boolean],
        ),
      ]
      for (const [name, client, origin, allows] of cases) {
        const expected = allows ? origin : undefined
        for (const answer of [
          await noted(token({ ...signIn, ...client }, { origin })),
          await noted(token({ ...signIn, ...client, password: 'wrong' }, { origin })),
          await noted(token({ ...signIn, ...client, scope: 'x' }, { origin })),
          await noted(revoke({ token: 'x', ...client }, { origin })),
          await noted(revoke({ ...client }, { origin })),
        ]) {
          t.equal(allowed(answer), expected, `${name}: ${answer.status}`)
          t.match(answer.headers.vary, /Origin/i)
          if (allows) t.strictSame(exposed(answer), ['Retry-After', 'WWW-Authenticate'])
        }
      }
      // A page must be able to read why its client was refused, which is then nobody in particular.
      const refused = await noted(token({ ...signIn, ...ours, client_secret: 'x' }, { origin: OURS }))
      t.match([refused.status, allowed(refused)], [401, OURS])
      t.strictSame(exposed(refused), ['Retry-After', 'WWW-Authenticate'])
      const broken = await noted(send('POST', '/token', { origin: OURS, 'content-type': 'text/plain' }, 'x'))
      t.match([broken.status, allowed(broken)], [400, OURS])
      t.equal(allowed(await noted(token({ ...signIn, ...ours }))), undefined, 'no Origin, no CORS')
      t.equal(
        allowed(await noted(introspect({ token: 'x', ...web }, { origin: OURS }))),
        undefined,
        'introspection',
      )
      const preflight = await noted(send('OPTIONS', '/introspect', { origin: OURS, ...asked }))
      t.equal(allowed(preflight), undefined, 'introspection is no business of pages')

      const paths = [
        '/.well-known/jwks.json',
        '/.well-known/oauth-authorization-server',
        '/.well-known/openid-configuration',
      ]
      for (const path of paths) {
        for (const origin of [OURS, ...STRANGERS, undefined]) {
          const answer = await noted(get(path, origin === undefined ? {} : { origin }))
          t.match([answer.status, allowed(answer)], [200, '*'], `${path} ${origin}`)
        }
      }
      for (const { headers } of answers)
        t.notOk('access-control-allow-credentials' in headers, 'never with credentials')
    },
  },
]
