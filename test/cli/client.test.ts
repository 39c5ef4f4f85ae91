import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { basic, claimsOf, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { inLanes } from '../support/in-lanes.ts'
import { runHere } from '../support/run-here.ts'

const words = (line: string) => line.split(' ')

for (const kind of STORE_KINDS) {
  t.test(`pawl client, beside a running server on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli } = deployment
    const user = { username: 'ada', password: 'the password' }
    await deployment.addUser(user.username, user.password)
    const { url } = await deployment.startServer()
    let secret = ''

    t.test('add', async (t) => {
      const told = await cli(words('client add app --public --scope read --scope write'))
      t.match(told, { code: 0, stderr: '', stdout: 'Registered the public client app\n' })
      const known = await cli(words('client add app2 --public --json'))
      t.strictSame(JSON.parse(known.stdout), { client_id: 'app2' })

      const confidential = await cli(words('client add web --confidential --scope read --json'))
      const created = JSON.parse(confidential.stdout)
      t.strictSame(Object.keys(created), ['client_id', 'client_secret'])
      t.match(created.client_secret, /^pcs_[A-Za-z0-9._~-]{43}$/, 'a secret that no encoding changes')
      secret = created.client_secret
      const printed = await cli(words('client add web2 --confidential'))
      t.match(printed.stdout, /^client_secret: pcs_[\w-]{43}$/m)
      t.equal((await signIn(url, { client_id: 'app', ...user })).scope, 'read write', 'it works at once')
      t.ok(await signIn(url, { client_id: 'web', client_secret: secret, ...user }))
    })

    t.test('add, with its own settings', async (t) => {
      const line =
        'client add own --public --grant password --grant refresh_token --scope read --audience https://one.example ' +
        '--audience two --access-token-ttl 9 --refresh-token-idle-ttl 60 --refresh-token-max-ttl 70 ' +
        '--refresh-token-grace 0 --on-reuse observe'
      t.equal((await cli(words(line))).code, 0)
      const g0 = await signIn(url, { client_id: 'own', ...user })
      t.equal(g0.expires_in, 9)
      t.strictSame(claimsOf(g0.access_token).aud, ['https://one.example', 'two'])
      const g1 = await refresh(url, g0.refresh_token, { client_id: 'own' })
      t.equal(
        (await refresh(url, g0.refresh_token, { client_id: 'own' })).refresh_token,
        g1.refresh_token,
        'observed',
      )
      const { family } = await deployment.withStore((store) =>
        store.families.look(String(claimsOf(g0.access_token).sid)),
      )
      t.equal(Number(family?.endsAt) - Number(family?.createdAt), 70_000)
      t.ok(Math.abs(Number(family?.expiresAt) - Number(family?.rotatedAt) - 60_000) < 50)
      t.equal(family?.replays, 0, 'without a grace there is no repeat')
    })

    t.test('add, refused', async (t) => {
      const rows: [line: string, says: RegExp][] = [
        ['x --public --confidential', /one of --public and --confidential/],
        ['x:y --public', /the ID is not 1 to 64 of the characters/],
        ['é --public', /the ID is not/],
        [`${'x'.repeat(65)} --public`, /the ID is not/],
        ['x --public --grant implicit', /--grant takes password, refresh_token, client_credentials/],
        ['x --public --scope "a"', /--scope takes a scope token/],
        ['x --public --audience é', /--audience takes/],
        ['x --public --access-token-ttl 0', /--access-token-ttl takes 1 to 86400 seconds/],
        ['x --public --access-token-ttl 5m', /--access-token-ttl takes/],
        ['x --public --refresh-token-grace 3601', /--refresh-token-grace takes 0 to 3600 seconds/],
        ['x --public --refresh-token-idle-ttl -1', /--refresh-token-idle-ttl/],
        ['x --public --refresh-token-max-ttl 1e9', /--refresh-token-max-ttl takes/],
        ['x --public --on-reuse ignore', /--on-reuse takes enforce or observe/],
      ]
      const taken = await cli(words('client add app --public'))
      t.match(taken, { code: 1, stdout: '', stderr: /There is a client "app" already/ })
      await Promise.all(
        rows.map(async ([line, says]) => {
          t.match(
            await runHere(words(`client add ${line}`)),
            { code: 64, stdout: '', stderr: says },
            line.slice(0, 60),
          )
        }),
      )
    })

    t.test('list', async (t) => {
      const table = await cli(words('client list'))
      t.match(table, {
        code: 0,
        stdout:
          /^ID +TYPE +STATE +GRANTS +SCOPES +CREATED\napp +public +enabled +password refresh_token +read write +\S+Z\n/,
      })
      const { stdout } = await cli(words('client list --json'))
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      t.strictSame(
        rows.map(({ clientId }) => clientId),
        ['app', 'app2', 'own', 'web', 'web2'],
      )
      t.match(rows[2], {
        type: 'public',
        grants: ['password', 'refresh_token'],
        scopes: ['read'],
        audiences: ['https://one.example', 'two'],
        disabled: false,
        onReuse: 'observe',
        accessTokenTtl: 9,
        refreshTokenGrace: 0,
      })
      t.notMatch(table.stdout + stdout, /pcs_|secret/i, 'no secret, no hash')
    })

    t.test('update: at once, and no session keeps more than the client has', async (t) => {
      const all = ['password', 'refresh_token'].flatMap((grant) => ['--grant', grant])
      t.equal(
        (await cli(['client', 'add', 'shrinking', '--public', ...words('--scope read --scope write')])).code,
        0,
      )
      const held = await signIn(url, { client_id: 'shrinking', ...user })
      const changed = await cli(words('client update shrinking --scope read --typ JWT --access-token-ttl 9'))
      t.match(changed, { code: 0, stderr: '', stdout: 'The registration is changed\n' })
      const narrowed = await refresh(url, held.refresh_token, { client_id: 'shrinking' })
      t.match(narrowed, { scope: 'read', expires_in: 9 })
      t.equal(
        JSON.parse(Buffer.from(narrowed.access_token.split('.')[0] ?? '', 'base64url').toString()).typ,
        'JWT',
      )
      t.equal((await cli(words('client update shrinking --grant password'))).code, 0)
      const without = await tryRefresh(url, narrowed.refresh_token, { client_id: 'shrinking' })
      expectOAuthError(t, without, 'unauthorized_client', 'the grant is gone')
      t.equal((await cli(['client', 'update', 'shrinking', ...all])).code, 0)
      t.ok(
        await refresh(url, narrowed.refresh_token, { client_id: 'shrinking' }),
        'and back; the session has waited',
      )
      t.match(await runHere(words('client update shrinking')), { code: 64, stderr: /nothing to change/ })
      t.equal((await cli(words('client delete shrinking'))).code, 0)
    })

    t.test('rotate-secret: the old one ends at once, the sessions live', async (t) => {
      const held = await signIn(url, { client_id: 'web', client_secret: secret, ...user })
      const old = secret
      const { code, stdout } = await cli(words('client rotate-secret web --json'))
      t.equal(code, 0)
      const rotated = JSON.parse(stdout)
      t.strictSame(Object.keys(rotated), ['client_id', 'client_secret'])
      secret = rotated.client_secret
      t.not(secret, old)
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, {}, basic('web', old)),
        'invalid_client',
        'the old one',
      )
      t.equal(
        (await tryRefresh(url, held.refresh_token, {}, basic('web', secret))).status,
        200,
        'the new one',
      )
      t.match(await cli(words('client rotate-secret web')), { code: 0, stdout: /^client_secret: pcs_/m })
      t.match(await cli(words('client rotate-secret app')), { code: 1, stderr: /public and has no secret/ })
    })

    t.test('disable and enable: at once, and the sessions wait', async (t) => {
      const held = await signIn(url, { client_id: 'app', ...user })
      t.match(await cli(words('client disable app')), { code: 0, stdout: /disabled/ })
      expectOAuthError(t, await tryRefresh(url, held.refresh_token, { client_id: 'app' }), 'invalid_client')
      t.match((await cli(words('client list'))).stdout, /^app +public +disabled/m)
      t.equal((await cli(words('client enable app'))).code, 0)
      t.equal(
        (await tryRefresh(url, held.refresh_token, { client_id: 'app' })).status,
        200,
        'they have waited',
      )
    })

    t.test('delete: at once, and the sessions do not come back', async (t) => {
      const held = await signIn(url, { client_id: 'app', ...user })
      t.match(await cli(words('client delete app')), { code: 0, stdout: /deleted/ })
      expectOAuthError(t, await tryRefresh(url, held.refresh_token, { client_id: 'app' }), 'invalid_client')
      t.equal((await cli(words('client add app --public --scope read'))).code, 0)
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, { client_id: 'app' }),
        'invalid_grant',
        'registered anew',
      )
      t.ok(await signIn(url, { client_id: 'app', ...user }))
    })

    t.test('no such client', async (t) => {
      const long = 'x'.repeat(10_000)
      await inLanes(['disable', 'enable', 'delete', 'rotate-secret', 'update'], async (verb) => {
        const says = /There is no client "nobody". See: pawl client list/
        t.match(
          await cli(['client', verb, 'nobody', ...(verb === 'update' ? ['--scope', 'x'] : [])]),
          { code: 1, stdout: '', stderr: says },
          verb,
        )
        const { code, stderr } = await cli([
          'client',
          verb,
          long,
          ...(verb === 'update' ? ['--scope', 'x'] : []),
        ])
        t.equal(code, 1, `${verb}, a long name`)
        t.match(stderr, /There is no client/, `${verb}, a long name: says so`)
      })
    })
  })
}
