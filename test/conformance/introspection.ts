import { createRemoteJWKSet, jwtVerify } from 'jose'
import { expectOAuthError } from '../support/expect.ts'
import { basic, claimsOf } from '../support/http-client.ts'
import { APP, basicOf, issuerOf, sidOf } from './context.ts'
import type { Row } from './row.ts'

const INACTIVE = '{"active":false}'
const INTROSPECTION_JWT = 'application/token-introspection+jwt'

/** The rows on RFC 7662 and RFC 9701. */
export const INTROSPECTION: readonly Row[] = [
  {
    id: 'C34',
    title: 'introspection needs credentials, and shows a caller what is its business',
    async hold(t, { introspect, web, api, signIn, registerConfidential, register, server, adaSub, token }) {
      const held = await signIn(web)
      const { access_token } = held
      const refused: [name: string, form: object, headers?: { authorization: string }][] = [
        ['nothing', {}],
        ['a public client', APP],
        ['a public client in Basic', {}, basic('app', '')],
        ['a wrong secret', {}, basic('api', 'wrong')],
        ['a wrong secret in the body', { client_id: 'api', client_secret: 'x' }],
        ['an unknown client', {}, basic('nobody', 'x')],
        ['no secret', { client_id: 'api' }],
        ['a token instead', {}, { authorization: `Bearer ${access_token}` }],
      ]
      for (const [name, form, headers] of refused) {
        for (const text of [access_token, held.refresh_token, 'garbage', undefined]) {
          const answer = await introspect({ token: text, ...form }, headers)
          expectOAuthError(t, answer, 'invalid_client', name)
        }
      }
      expectOAuthError(t, await introspect({}, basicOf(api)), 'invalid_request', 'then the token is missed')

      const own = { ...claimsOf(access_token), active: true, token_type: 'Bearer' }
      const answer = await introspect({ token: access_token }, basicOf(api))
      t.match(answer, {
        status: 200,
        headers: { 'content-type': /^application\/json/, 'cache-control': 'no-store' },
      })
      t.strictSame(answer.json, own, 'a resource server sees what is for its audience')
      t.match(answer.json, { sub: adaSub, client_id: 'web', iss: issuerOf(server), scope: 'read write' })
      t.strictSame(
        (await introspect({ token: access_token, ...web })).json,
        own,
        'a client sees its own token',
      )

      const idle = await registerConfidential('may-not', { mayIntrospect: false })
      const elsewhere = await registerConfidential('elsewhere', {
        mayIntrospect: true,
        audiences: ['https://elsewhere.example'],
      })
      for (const caller of [idle, elsewhere]) {
        t.equal((await introspect({ token: access_token, ...caller })).text, INACTIVE, caller.client_id)
      }
      const both = await register('for-both', {
        audiences: ['https://elsewhere.example', 'https://x.example'],
      })
      const shared = await signIn(both)
      t.match((await introspect({ token: shared.access_token, ...elsewhere })).json, { active: true })
      t.equal(
        (await introspect({ token: shared.access_token, ...api })).text,
        INACTIVE,
        'not for its audience',
      )
      const robot = await token({ grant_type: 'client_credentials', ...web })
      const its = await introspect({ token: String(robot.json?.access_token), ...api })
      t.match(its.json, { active: true, sub: 'web', client_id: 'web' }, 'a client’s own token')
    },
  },
  {
    id: 'C35',
    title: 'of what is not active or not the caller’s business, only that',
    async hold(t, { introspect, web, api, signIn, revoke, registerConfidential, register, pawl }) {
      const idle = await registerConfidential('sees-nothing', { mayIntrospect: false })
      const gone = await register('to-be-disabled')
      const [held, revoked, orphan] = [await signIn(), await signIn(), await signIn(gone)]
      await revoke({ token: revoked.refresh_token, ...APP })
      await pawl(['client', 'disable', 'to-be-disabled'])
      const rows: [name: string, text: string, caller: typeof api][] = [
        ['garbage', 'garbage', api],
        ['not a token of ours', `prt_${'A'.repeat(88)}`, api],
        ['dots', '..', api],
        ['three parts', 'e30.e30.AA', api],
        ['a changed signature', `${held.access_token.slice(0, -8)}AAAAAAAA`, api],
        ['a changed payload', held.access_token.replace(/\.../, '.AA'), api],
        ['a refresh token in disorder', held.refresh_token.slice(0, -1), api],
        ['revoked', revoked.access_token, api],
        ['a revoked refresh token', revoked.refresh_token, web],
        ['not allowed', held.access_token, idle],
        ['another’s', held.access_token, web],
        ['another’s refresh token', held.refresh_token, api],
        ['a disabled client’s', orphan.access_token, api],
      ]
      for (const [name, token, caller] of rows) {
        for (const token_type_hint of [undefined, 'access_token', 'refresh_token', 'canary']) {
          const { status, text, headers } = await introspect({ token, token_type_hint, ...caller })
          t.strictSame({ status, text }, { status: 200, text: INACTIVE }, name)
          t.match(headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' })
        }
      }
    },
  },
  {
    id: 'C36',
    title: 'a revoked session’s access tokens are inactive at once; refresh tokens are their client’s alone',
    async hold(t, context) {
      const { introspect, web, api, signIn, revoke, refresh, pawl, deployment, registerConfidential } =
        context
      const held = await signIn(web)
      const next = await refresh(held, web)
      const { exp, ...own } = (await introspect({ token: next.refresh_token, ...web })).json ?? {}
      t.match(own, {
        active: true,
        client_id: 'web',
        sub: context.adaSub,
        scope: 'read write',
        sid: sidOf(held),
      })
      t.ok(Number(exp) > Date.now() / 1000)
      const other = await registerConfidential('another-web', { mayIntrospect: true })
      for (const caller of [api, other]) {
        t.equal((await introspect({ token: next.refresh_token, ...caller })).text, INACTIVE, 'another’s')
      }
      t.match(
        (await introspect({ token: held.refresh_token, ...web })).json,
        { active: true },
        'within the grace',
      )

      const user = { username: 'comes-and-goes', password: 'a password' }
      await deployment.addUser(user.username, user.password)
      const ends: Record<string, (tokens: typeof held) => Promise<unknown>> = {
        'revoked by its client': (tokens) => revoke({ token: tokens.refresh_token, ...web }),
        'revoked by the operator': (tokens) => pawl(['session', 'revoke', sidOf(tokens)]),
        'ended by reuse': async (tokens) => {
          await refresh(await refresh(tokens, web), web)
          await context.tryRefresh(tokens, web)
        },
        'signed out everywhere': () => pawl(['session', 'revoke', '--user', user.username]),
        'user disabled': () => pawl(['user', 'disable', user.username]),
      }
      for (const [name, end] of Object.entries(ends)) {
        const tokens = await signIn({ ...web, ...user })
        t.match(
          (await introspect({ token: tokens.access_token, ...api })).json,
          { active: true },
          `before: ${name}`,
        )
        await end(tokens)
        for (const caller of [api, web]) {
          t.equal((await introspect({ token: tokens.access_token, ...caller })).text, INACTIVE, name)
        }
        t.equal((await introspect({ token: tokens.refresh_token, ...web })).text, INACTIVE, name)
      }

      const moved = await registerConfidential('moved', { audiences: ['https://old.example'] })
      const kept = await signIn(moved)
      await pawl(['client', 'update', 'moved', '--audience', 'https://new.example'])
      expectOAuthError(t, await context.tryRefresh(kept, moved), 'invalid_grant')
      const { text } = await introspect({ token: kept.refresh_token, ...moved })
      t.equal(text, INACTIVE, 'no audience is left: what no refresh is answered for is not active')
      await pawl(['client', 'update', 'moved', '--audience', 'https://old.example'])
      t.match(
        (await introspect({ token: kept.refresh_token, ...moved })).json,
        { active: true },
        'given back',
      )
    },
  },
  {
    id: 'C37',
    title: 'by Accept, the answer is a signed JWT',
    async hold(t, { introspect, web, api, signIn, server, url, register }) {
      const { access_token } = await signIn()
      const jwks = createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`))
      const issuer = issuerOf(server)
      await register('bystander')
      for (const [token, active] of [
        [access_token, true],
        ['garbage', false],
      ] as const) {
        for (const accept of [
          INTROSPECTION_JWT,
          INTROSPECTION_JWT.toUpperCase(),
          `application/json;q=0.1, ${INTROSPECTION_JWT}`,
        ]) {
          const answer = await introspect({ token }, { ...basicOf(api), accept })
          t.match(answer, {
            status: 200,
            headers: { 'content-type': INTROSPECTION_JWT, 'cache-control': 'no-store' },
          })
          const { payload, protectedHeader } = await jwtVerify(answer.text, jwks, {
            issuer,
            audience: 'api',
            typ: 'token-introspection+jwt',
            algorithms: ['RS256'],
          })
          t.strictSame(Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ'])
          t.strictSame(Object.keys(payload).sort(), ['aud', 'iat', 'iss', 'token_introspection'])
          t.ok(Math.abs(Number(payload.iat) - Date.now() / 1000) < 5, 'iat is now')
          const plain = (await introspect({ token }, basicOf(api))).json
          t.strictSame(payload.token_introspection, plain, 'and says the same')
          t.equal(plain?.active, active)
        }
      }
      const { text } = await introspect({ token: access_token, ...web }, { accept: INTROSPECTION_JWT })
      t.match(claimsOf(text), { aud: 'web', token_introspection: { active: false } }, 'aud is the caller')
      for (const accept of ['application/json', '*/*', 'text/html']) {
        t.match(
          (await introspect({ token: access_token }, { ...basicOf(api), accept })).json,
          { active: true },
          accept,
        )
      }
      const refused = await introspect(
        { token: access_token },
        { ...basic('api', 'x'), accept: INTROSPECTION_JWT },
      )
      expectOAuthError(t, refused, 'invalid_client', 'errors stay JSON')
    },
  },
]
