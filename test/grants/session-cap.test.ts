import t from 'tap'
import { auditEvent, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, refresh, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'

const sidOf = ({ access_token }: Tokens) => String(claimsOf(access_token).sid)

for (const kind of STORE_KINDS) {
  t.test(`as many sessions as a user may have, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: { MAX_SESSIONS_PER_USER: '2' } })
    const ada = await deployment.addAccount('ada')
    await deployment.addClient('brief', { grants: ['password'], scopes: ['read', 'write'] })
    const server = await deployment.startServer()
    const { url } = server
    const client = { client_id: 'ada' }

    const brief = await signIn(url, { ...ada, client_id: 'brief' })
    for (let i = 0; i < 4; i += 1) await signIn(url, { ...ada, client_id: 'brief' })
    const first = await signIn(url, ada)
    const second = await signIn(url, ada)
    const refreshed = await refresh(url, first.refresh_token, client)
    for (let i = 0; i < 5; i += 1) await signIn(url, { ...ada, client_id: 'brief' })
    const held = await refresh(url, second.refresh_token, client)
    const again = await refresh(url, refreshed.refresh_token, client)
    t.pass('what cannot be refreshed ends nobody’s session')

    const sessions = [first, second].map(sidOf)
    await deployment.addUser('eve', 'password of eve')
    await signIn(url, { ...client, username: 'eve', password: 'password of eve' })
    await refresh(url, held.refresh_token, client)
    const third = await signIn(url, ada)
    await auditEvent(server, 'session.revoked', { sid: String(sessions[0]), reason: 'cap' })
    expectOAuthError(t, await tryRefresh(url, again.refresh_token, client), 'invalid_grant')
    await auditEvent(server, 'refresh.after_revocation', { sid: String(sessions[0]), reason: 'cap' })
    t.ok(await refresh(url, third.refresh_token, client))
    const { stdout } = await deployment.cli(['session', 'list', '--user', 'ada', '--json'])
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const states = new Map(rows.map(({ id, state }) => [id, state]))
    t.equal(states.get(sidOf(brief)), 'active', 'what does not count is listed, and not ended either')
    const [ended = '', kept = ''] = sessions.map(String)
    t.strictSame([states.get(kept), states.get(sidOf(third))], ['active', 'active'])
    // Redis takes out of the list what the cap ends; the record stays, as everywhere.
    t.equal(states.get(ended), kind === 'redis' ? undefined : 'revoked (cap)')
    t.match(await deployment.recordOf(ended), { revoked: { reason: 'cap' } })
  })
}
