import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { postForm, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { until } from '../support/until.ts'

const SESSIONS = 6

const WAYS: Record<string, (name: string) => string[]> = {
  'session revoke --user': (name) => ['session', 'revoke', '--user', name],
  'session revoke --client': (name) => ['session', 'revoke', '--client', name],
  'session revoke --all': () => ['session', 'revoke', '--all'],
  'user disable': (name) => ['user', 'disable', name],
}

for (const kind of STORE_KINDS) {
  t.test(`signed out everywhere, refreshes under way, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: { REFRESH_TOKEN_GRACE: '30' } })
    const servers = [await deployment.startServer(), await deployment.startServer()]
    const urlOf = (turn: number) => servers[turn % servers.length]?.url ?? ''
    const introspector = await deployment.addConfidentialClient('introspector', { mayIntrospect: true })

    for (const [way, commandOf] of Object.entries(WAYS)) {
      await t.test(way, async (t) => {
        const name = way.replaceAll(/[^a-z]+/g, '-')
        const account = await deployment.addAccount(name)
        const client = { client_id: name }
        const handedOut: string[] = []
        const late: number[] = []
        let turns = 0
        let end = Number.POSITIVE_INFINITY
        let stopped = false

        async function goOn(first: string, session: number): Promise<void> {
          let held = first
          for (let turn = session; !stopped; turn += 1) {
            const begin = performance.now()
            const answer = await tryRefresh(urlOf(turn), held, client)
            if (answer.status === 200) {
              turns += 1
              held = String(answer.json?.refresh_token)
              handedOut.push(held)
              if (begin >= end) late.push(begin - end)
            } else {
              await sleep(5)
            }
          }
        }
        const tokens = await Promise.all(
          Array.from({ length: SESSIONS }, (_, i) => signIn(urlOf(i), account)),
        )
        const clients = tokens.map(({ refresh_token }, i) => goOn(refresh_token, i))
        await until('each has turned some times', () => turns > 5 * SESSIONS)
        const { code, stderr } = await deployment.cli(commandOf(name))
        end = performance.now()
        t.strictSame({ code, stderr }, { code: 0, stderr: '' })
        await sleep(500)
        stopped = true
        await Promise.all(clients)

        t.comment(`${turns} refreshes`)
        t.strictSame(late, [], 'none that began after the command had returned')
        const last = handedOut.slice(-4 * SESSIONS)
        for (const [i, token] of last.entries()) {
          expectOAuthError(t, await tryRefresh(urlOf(i), token, client), 'invalid_grant', 'no token works')
        }
        const asked = await postForm(`${urlOf(0)}/introspect`, {
          client_id: 'introspector',
          client_secret: introspector,
          token: tokens[0]?.access_token,
        })
        t.strictSame(asked.json, { active: false })

        if (way === 'user disable') await deployment.cli(['user', 'enable', name])
        const again = await signIn(urlOf(1), account)
        t.ok(await refresh(urlOf(0), again.refresh_token, client), 'a new sign-in is welcome')
        for (const token of last.slice(-2))
          expectOAuthError(t, await tryRefresh(urlOf(1), token, client), 'invalid_grant', 'for good')
      })
    }
  })
}
