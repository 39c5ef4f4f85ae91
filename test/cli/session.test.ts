import t from 'tap'
import { auditEvent, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, refresh, signIn, type Tokens, tryRefresh, trySignIn } from '../support/http-client.ts'
import { inLanes } from '../support/in-lanes.ts'

const sidOf = ({ access_token }: Tokens) => String(claimsOf(access_token).sid)

for (const kind of STORE_KINDS) {
  t.test(`pawl session, beside a running server on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli } = deployment
    const ada = await deployment.addAccount('ada')
    const eve = await deployment.addAccount('eve')
    const server = await deployment.startServer()
    const { url } = server
    const continues = async ({ refresh_token }: Tokens, client_id = 'ada') =>
      (await tryRefresh(url, refresh_token, { client_id })).status === 200
    const listed = async (...more: string[]) => {
      const { code, stdout } = await cli(['session', 'list', '--user', 'ada', ...more])
      t.equal(code, 0)
      return stdout
    }
    const rows = async () =>
      (await listed('--json'))
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))

    t.test('list', async (t) => {
      t.equal(await listed('--json'), '', 'none yet')
      const older = await signIn(url, ada)
      const newer = await trySignIn(url, ada, 'read', { 'user-agent': 'a browser' })
      await refresh(url, older.refresh_token, { client_id: 'ada' }, { 'user-agent': 'an app' })
      await refresh(url, older.refresh_token, { client_id: 'ada' }, { 'user-agent': 'an app' })
      await signIn(url, eve)
      const sessions = await rows()
      t.equal(sessions.length, 2, 'of this user only')
      t.strictSame(Object.keys(sessions[0]).sort(), [
        'agent',
        'client_id',
        'created',
        'expires',
        'generation',
        'id',
        'last_used',
        'network',
        'replays',
        'scope',
        'state',
      ])
      t.match(
        sessions,
        [
          {
            id: sidOf(older),
            generation: 1,
            replays: 1,
            agent: 'an app',
            state: 'active',
            scope: 'read write',
            client_id: 'ada',
          },
          {
            id: sidOf(newer.json as unknown as Tokens),
            generation: 0,
            agent: 'a browser',
            scope: 'read',
            network: '127.0.0.0/24',
          },
        ],
        'the last used first',
      )
      for (const time of ['created', 'last_used', 'expires'])
        t.match(sessions[0][time], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, time)
      t.match(
        await listed(),
        /^ID +CLIENT +STATE +CREATED +LAST USED +GEN +NETWORK +AGENT\n\S{32} +ada +active +\S+Z +\S+Z +1 +127\.0\.0\.0\/24 +an app\n/,
      )
    })

    t.test('revoke ID', async (t) => {
      const held = await signIn(url, ada)
      const other = await signIn(url, ada)
      t.match(await cli(['session', 'revoke', sidOf(held)]), { code: 0, stdout: 'The session has ended\n' })
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, { client_id: 'ada' }),
        'invalid_grant',
        'at once',
      )
      await auditEvent(server, 'refresh.after_revocation', { sid: sidOf(held), reason: 'operator' })
      t.ok(await continues(other), 'the others go on')
      t.match(
        (await rows()).find(({ id }) => id === sidOf(held)),
        { state: 'revoked (operator)' },
      )
      t.match(await cli(['session', 'revoke', sidOf(held)]), { code: 0, stdout: /had been revoked before/ })
    })

    t.test('revoke --user', async (t) => {
      const mine = [await signIn(url, ada), await signIn(url, { ...ada, client_id: 'eve' })]
      const hers = await signIn(url, eve)
      t.match(await cli(['session', 'revoke', '--user', 'ada']), {
        code: 0,
        stdout: /Every session of the user has ended/,
      })
      t.strictSame(
        [await continues(mine[0] as Tokens), await continues(mine[1] as Tokens, 'eve')],
        [false, false],
      )
      t.ok(await continues(hers, 'eve'), 'other users go on')
      t.strictSame([...new Set((await rows()).map(({ state }) => state.split(' ')[0]))], ['revoked'])
      t.ok(await continues(await signIn(url, ada)), 'a new sign-in is welcome')
    })

    t.test('revoke --client', async (t) => {
      const mine = await signIn(url, ada)
      const other = await signIn(url, { ...ada, client_id: 'eve' })
      t.match(await cli(['session', 'revoke', '--client', 'ada']), {
        code: 0,
        stdout: /Every session of the client has ended/,
      })
      t.equal(await continues(mine), false, 'at once')
      t.ok(await continues(other, 'eve'), 'other clients go on')
      const states = new Map((await rows()).map(({ id, state }) => [id, state]))
      t.match(states.get(sidOf(mine)), /^revoked/, 'the list says so')
      t.equal(states.get(sidOf(other)), 'active')
      t.ok(await continues(await signIn(url, ada)), 'a new sign-in is welcome')
    })

    t.test('list --client', async (t) => {
      const mine = [await signIn(url, ada), await signIn(url, ada)]
      await signIn(url, eve)
      const { code, stdout } = await cli(['session', 'list', '--client', 'ada', '--json'])
      t.equal(code, 0)
      const sessions = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      t.strictSame([...new Set(sessions.map(({ client_id }) => client_id))], ['ada'])
      for (const { access_token } of mine) {
        const { sid: id, sub } = claimsOf(access_token)
        t.match(
          sessions.find((session) => session.id === id),
          { state: 'active', sub, network: '127.0.0.0/24' },
        )
      }
      const one = await cli(['session', 'list', '--client', 'ada', '--limit', '1', '--json'])
      t.equal(one.stdout.trim().split('\n').length, 1)
      t.equal((await rows()).length > 1, true)
      t.equal((await listed('--json', '--limit', '1')).trim().split('\n').length, 1)
    })

    t.test('revoke --all', async (t) => {
      const [mine, hers] = [await signIn(url, ada), await signIn(url, eve)]
      t.match(await cli(['session', 'revoke', '--all']), {
        code: 0,
        stdout: /Every session has ended, of 2 clients/,
      })
      t.strictSame([await continues(mine), await continues(hers, 'eve')], [false, false], 'at once')
      t.ok(await continues(await signIn(url, ada)), 'a new sign-in is welcome')
    })

    t.test('refused', async (t) => {
      const missing: [args: string[], code: number, says: RegExp][] = [
        [['revoke', 'x'.repeat(32)], 1, /There is no such session/],
        [['revoke', `-${'x'.repeat(31)}`], 1, /There is no such session/],
        [['revoke', `--${'x'.repeat(30)}`], 1, /There is no such session/],
        [['revoke', 'x'], 64, /no session id/],
        [['revoke', 'x'.repeat(32), '--user', 'ada'], 64, /give one of/],
        [['revoke', '--user', 'ada', '--client', 'ada'], 64, /give one of/],
        [['revoke', '--user', 'nobody'], 1, /There is no user "nobody"/],
        [['revoke', '--client', 'nobody'], 1, /There is no client "nobody"/],
        [['revoke', '--all', '--user', 'ada'], 64, /give one of/],
        [['revoke', 'x'.repeat(32), '--all'], 64, /give one of/],
        [['list'], 64, /give --user NAME or --client ID/],
        [['list', '--user', 'ada', '--client', 'ada'], 64, /give --user NAME or --client ID/],
        [['list', '--user', 'ada', '--limit', '0'], 64, /--limit takes a number/],
        [['list', '--client', 'nobody'], 1, /There is no client "nobody"/],
        [['list', '--user', 'nobody'], 1, /There is no user "nobody"/],
      ]
      await inLanes(missing, async ([args, code, says]) => {
        t.match(await cli(['session', ...args]), { code, stdout: '', stderr: says }, args.join(' '))
      })
    })
  })
}
