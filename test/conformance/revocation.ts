import { setTimeout as sleep } from 'node:timers/promises'
import { deploy } from '../support/deployment.ts'
import { expectOAuthError, expectUnavailable } from '../support/expect.ts'
import { type Answer, basic, type Tokens } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { ADA, APP, basicOf, clientOf, recordOf } from './context.ts'
import type { Row } from './row.ts'

const INACTIVE = { active: false }

/** How often C33 ends a session under way, and how many refresh it meanwhile. */
const ROUNDS = 12
const REFRESHERS = 8

/** The rows on RFC 7009. */
export const REVOCATION: readonly Row[] = [
  {
    id: 'C29',
    title: 'client authentication comes first',
    async hold(t, { revoke, web, signIn, refresh }) {
      const held = await signIn(web)
      for (const token of ['garbage', held.refresh_token, held.access_token, '', undefined]) {
        const name = String(token).slice(0, 8)
        expectOAuthError(
          t,
          await revoke({ token }, basic('web', 'wrong')),
          'invalid_client',
          `Basic, ${name}`,
        )
        expectOAuthError(
          t,
          await revoke({ token, client_id: 'web', client_secret: 'x' }),
          'invalid_client',
          `body, ${name}`,
        )
        expectOAuthError(t, await revoke({ token, client_id: 'nobody' }), 'invalid_client', `nobody, ${name}`)
        expectOAuthError(t, await revoke({ token, client_id: 'web' }), 'invalid_client', `no secret, ${name}`)
      }
      expectOAuthError(
        t,
        await revoke({ token: '', ...web }),
        'invalid_request',
        'and only then the token is missed',
      )
      t.ok(await refresh(held, web), 'nothing was revoked')
    },
  },
  {
    id: 'C30',
    title: 'a token that is none is no error, and hints make no difference',
    async hold(t, { revoke, web, signIn, tryRefresh, registerConfidential, introspect }) {
      const brief = await registerConfidential('brief-lives', {
        accessTokenTtl: 1,
        refreshTokenIdleTtl: 1,
        refreshTokenMaxTtl: 1,
      })
      const expired = await signIn(brief)
      const revoked = await signIn(web)
      isEmpty(await revoke({ token: revoked.refresh_token, ...web }))
      const held = await signIn(web)
      await sleep(2100)
      const dead = [
        'garbage',
        'prt_',
        `prt_${'A'.repeat(88)}`,
        `${held.refresh_token}x`,
        held.access_token.slice(0, -9),
        'a.b.c',
        revoked.refresh_token,
        revoked.access_token,
      ]
      const hints = [undefined, '', 'refresh_token', 'access_token', 'id_token', 'canary']
      for (const token_type_hint of hints) {
        for (const token of dead) isEmpty(await revoke({ token, token_type_hint, ...web }))
        for (const token of [expired.refresh_token, expired.access_token]) {
          isEmpty(await revoke({ token, token_type_hint, ...brief }))
        }
      }
      t.match(
        (await introspect({ token: held.access_token, ...web })).json,
        { active: true },
        'nothing else ends',
      )
      for (const token_type_hint of hints) {
        for (const kind of ['refresh_token', 'access_token'] as const) {
          const tokens = await signIn(web)
          isEmpty(await revoke({ token: tokens[kind], token_type_hint }, basicOf(web)))
          const name = `a ${kind} hinted to be ${token_type_hint ?? 'nothing'}`
          expectOAuthError(t, await tryRefresh(tokens, web), 'invalid_grant', name)
        }
      }

      function isEmpty({ status, text, headers }: Answer): void {
        t.match({ status, text }, { status: 200, text: '' })
        t.equal(headers['content-length'] ?? '0', '0')
        t.equal(headers['cache-control'], 'no-store')
      }
    },
  },
  {
    id: 'C31',
    title: 'another client’s token is answered with 200, and keeps working',
    async hold(t, context) {
      const { revoke, web, signIn, refresh, introspect, token } = context
      const held = await signIn(web)
      const before = await recordOf(context, held)
      for (const text of [held.refresh_token, held.access_token]) {
        const answer = await revoke({ token: text, ...APP })
        t.match(answer, { status: 200, text: '' })
        t.match((await introspect({ token: text, ...web })).json, { active: true })
      }
      t.strictSame(await recordOf(context, held), before, 'untouched')
      t.ok(await refresh(held, web))
      const robot = await token({ grant_type: 'client_credentials', ...web })
      const access = String(robot.json?.access_token)
      t.match(await revoke({ token: access, ...APP }), { status: 200, text: '' })
      t.match((await introspect({ token: access, ...web })).json, { active: true })
    },
  },
  {
    id: 'C32',
    title: 'revoking any token of a session ends the session',
    async hold(t, context) {
      const { revoke, web, api, signIn, refresh, tryRefresh, introspect, token } = context
      const ways: Record<string, (generations: readonly Tokens[]) => string> = {
        'the current refresh token': ([, , g2]) => g2!.refresh_token,
        'the predecessor': ([, g1]) => g1!.refresh_token,
        'the first one, which would be reuse': ([g0]) => g0!.refresh_token,
        'the current access token': ([, , g2]) => g2!.access_token,
        'the first access token': ([g0]) => g0!.access_token,
      }
      const sibling = await signIn(web)
      for (const [name, which] of Object.entries(ways)) {
        const g0 = await signIn(web)
        const g1 = await refresh(g0, web)
        const generations = [g0, g1, await refresh(g1, web)]
        t.match(await revoke({ token: which(generations), ...web }), { status: 200, text: '' }, name)
        for (const { refresh_token, access_token } of generations) {
          expectOAuthError(t, await tryRefresh({ refresh_token }, web), 'invalid_grant', name)
          for (const caller of [web, api]) {
            t.strictSame((await introspect({ token: access_token, ...caller })).json, INACTIVE, name)
          }
          t.strictSame((await introspect({ token: refresh_token, ...web })).json, INACTIVE, name)
        }
        t.match(await recordOf(context, g0), { generation: 2, revoked: { reason: 'client' } }, 'a tombstone')
      }
      t.ok(await refresh(sibling, web), 'other sessions of the same user and client live')
      // No session stands behind it, and saying that it is revoked would not be true.
      const robot = await token({ grant_type: 'client_credentials', ...web })
      const answer = await revoke({ token: String(robot.json?.access_token), ...web })
      expectOAuthError(t, answer, 'unsupported_token_type', 'a client’s own access token')
    },
  },
  {
    id: 'C33',
    title: 'after the 200 nothing of the session works, whatever was under way',
    async hold(t, context) {
      const { deployment, register, web, introspect, signIn, tryRefresh } = context
      const other = await deployment.startServer({
        TRUST_PROXY: '127.0.0.1',
        ISSUER: `http://localhost:${context.server.port}`,
      })
      const servers = [context, clientOf(other.url, 133)]
      const client = await register('ended-under-way')
      let late = 0
      for (let round = 0; round < ROUNDS; round += 1) {
        const first = await signIn(client)
        const seen = new Map([[first.refresh_token, first]])
        let ended = false
        let troubles = 0
        let oneHasTurned = () => {}
        const turned = new Promise<void>((resolve) => {
          oneHasTurned = resolve
        })
        const refreshing = Array.from({ length: REFRESHERS }, async (_, i) => {
          let held = first
          for (let turn = 0; turn < 200; turn += 1) {
            const startedAfterTheEnd = ended
            const answer = await servers[(i + turn) % 2]!.tryRefresh(held, client)
            if (answer.status === 200) {
              if (startedAfterTheEnd) troubles += 1
              if (ended) late += 1
              held = answer.json as unknown as Tokens
              seen.set(held.refresh_token, held)
              oneHasTurned()
            } else if (ended) return
            // Who falls behind more than a generation would end the session as a thief does.
            else held = [...seen.values()].at(-1)!
          }
        })
        // Otherwise the revocation may overtake all of them.
        await Promise.race([turned, Promise.all(refreshing)])
        await sleep(5 + 3 * round)
        const revoker = servers[round % 2]!
        const newest = [...seen.values()].at(-1)!
        t.equal((await revoker.revoke({ token: newest.refresh_token, ...client })).status, 200)
        ended = true
        await Promise.all(refreshing)
        t.equal(troubles, 0, `round ${round}: no refresh that started later got tokens`)
        for (const { refresh_token, access_token } of seen.values()) {
          for (const { tryRefresh } of servers) {
            const { status, json } = await tryRefresh({ refresh_token }, client)
            if (status !== 400 || json?.error !== 'invalid_grant')
              t.fail(`a token of the session works: ${status}`)
          }
          const { json } = await introspect({ token: access_token, ...context.api })
          if (json?.active !== false) t.fail('an access token of the session is active')
        }
        t.ok(seen.size > 1, `round ${round}: ${seen.size} generations, all dead`)
      }
      t.comment(`${late} answers with tokens came after the 200, and none of them worked`)

      // LMDB lies in the server's own process: where the server answers, the store is not down.
      if (context.kind === 'redis') {
        const fragile = await deploy(t, 'redis')
        const account = await fragile.addAccount('fragile')
        const { url } = await fragile.startServer()
        const own = clientOf(url, 1)
        const held = await own.signIn(account)
        const client = { client_id: 'fragile' }
        const revokeWhileDown = async (token: string) => {
          fragile.redis?.pause()
          expectUnavailable(t, await own.revoke({ token, ...client }), 'the store is down')
          fragile.redis?.resume()
        }
        await revokeWhileDown(held.refresh_token)
        const next = await until('the store answers again', () => own.refresh(held, client))
        t.ok(next, 'nothing was written before the session was looked at')
        // Here the write itself was sent: what a 503 did is unknown, and asking again settles it.
        await revokeWhileDown(next.access_token)
        const again = { token: next.access_token, ...client }
        await until('it answers the revocation', async () => (await own.revoke(again)).status === 200)
        expectOAuthError(t, await own.tryRefresh(next, client), 'invalid_grant', 'asked again, it is revoked')
      }
      const kept = await signIn({ ...web, ...ADA })
      t.equal((await tryRefresh(kept, web)).status, 200, 'other sessions live')
    },
  },
]
