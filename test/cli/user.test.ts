import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, postForm, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { runHere } from '../support/run-here.ts'

for (const kind of STORE_KINDS) {
  t.test(`pawl user, beside a running server on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli } = deployment
    await deployment.addClient('web', { scopes: ['read'] })
    const { url } = await deployment.startServer()
    const client = { client_id: 'web' }
    const signInAs = (username: string, password: string) => signIn(url, { ...client, username, password })
    const trySignIn = (username: string, password: string) =>
      postForm(`${url}/token`, { grant_type: 'password', ...client, username, password })
    const add = (name: string, password: string, ...more: string[]) =>
      cli(['user', 'add', name, '--password-stdin', ...more], password)

    t.test('add', async (t) => {
      t.match(await add('ada', 'first'), {
        code: 0,
        stderr: '',
        stdout: /^Created the user ada, sub usr_[\w-]{22}\n$/,
      })
      const { code, stdout } = await add('Zoë', 'pass word\r\n', '--json')
      t.equal(code, 0)
      const created = JSON.parse(stdout)
      t.strictSame(Object.keys(created).sort(), ['claims', 'createdAt', 'disabled', 'sub', 'username'])
      t.match(created, { username: 'Zoë', disabled: false, sub: /^usr_/ })
      t.ok(
        await signInAs('zoë', 'pass word'),
        'the end of the line is no part of the password, and it works at once',
      )
    })

    t.test('add, refused', async (t) => {
      const taken: [name: string, password: string, says: RegExp][] = [
        ['ada', 'x', /There is a user "ada" already/],
        ['ADA', 'x', /There is a user "ADA" already/],
      ]
      const bad: typeof taken = [
        ['', 'x', /The name is empty/],
        [' eve', 'x', /begins or ends with a space/],
        ['e\tve', 'x', /control character/],
        ['e'.repeat(257), 'x', /longer than 256/],
        ['eve', '', /The password is empty/],
        ['eve', '\n', /The password is empty/],
        ['eve', 'x'.repeat(1025), /longer than 1024/],
      ]
      await Promise.all(
        // What is wrong in itself is so on any store.
        [...taken, ...(kind === 'lmdb' ? bad : [])].map(async ([name, password, says]) => {
          t.match(
            await add(name, password),
            { code: 1, stdout: '', stderr: says },
            `${name.slice(0, 9)} ${says}`,
          )
        }),
      )
      const unasked = await cli(['user', 'add', 'eve'])
      t.match(unasked, { code: 64, stderr: /no terminal.*--password-stdin/ }, 'nobody to ask')
    })

    t.test('list', async (t) => {
      const table = await cli(['user', 'list'])
      t.equal(table.code, 0)
      t.match(
        table.stdout,
        /^NAME +SUB +STATE +CREATED\nada +usr_\S+ +enabled +\d{4}-\d\d-\d\dT\S+Z\nZoë +usr_/,
      )
      const { stdout } = await cli(['user', 'list', '--json'])
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      t.strictSame(
        rows.map(({ username }) => username),
        ['ada', 'Zoë'],
      )
      t.strictSame(Object.keys(rows[0]).sort(), ['claims', 'createdAt', 'disabled', 'sub', 'username'])
      t.notMatch(table.stdout + stdout, /argon2/)
    })

    t.test('disable and enable: at once, and the old sessions stay ended', async (t) => {
      const held = await signInAs('ada', 'first')
      t.match(await cli(['user', 'disable', 'Ada']), { code: 0, stdout: /disabled/ })
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'the next refresh',
      )
      expectOAuthError(t, await trySignIn('ada', 'first'), 'invalid_grant', 'the next sign-in')
      t.match((await cli(['user', 'list'])).stdout, /^ada .* disabled /m)
      t.match(await cli(['user', 'enable', 'ada']), { code: 0, stdout: /may sign in again/ })
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'the old session',
      )
      t.ok(await signInAs('ada', 'first'), 'a new one')
    })

    t.test('set-password: at once, and every session ends', async (t) => {
      const sessions = [await signInAs('ada', 'first'), await signInAs('ada', 'first')]
      const other = await signInAs('Zoë', 'pass word')
      const done = await cli(['user', 'set-password', 'ada', '--password-stdin'], 'second\n')
      t.match(done, { code: 0, stderr: '', stdout: /every session of the user has ended/ })
      for (const { refresh_token } of sessions) {
        expectOAuthError(t, await tryRefresh(url, refresh_token, client), 'invalid_grant', 'the next refresh')
      }
      expectOAuthError(t, await trySignIn('ada', 'first'), 'invalid_grant', 'the old password')
      t.ok(await signInAs('ada', 'second'), 'the new one')
      t.ok(await refresh(url, other.refresh_token, client), 'other users go on')
      t.match(await cli(['user', 'set-password', 'ada', '--password-stdin'], ''), {
        code: 1,
        stderr: /empty/,
      })
    })

    t.test('set-claims: from the next refresh on', async (t) => {
      const held = await signInAs('ada', 'second')
      t.match(await cli(['user', 'set-claims', 'ada', '--claims', '{"roles":["admin"]}']), {
        code: 0,
        stderr: '',
      })
      const { access_token } = await refresh(url, held.refresh_token, client)
      t.strictSame(claimsOf(access_token).roles, ['admin'])
      for (const claims of ['{"sub":"eve"}', '{"scope":"admin"}', '[]', 'x']) {
        const { code, stderr } = await runHere(['user', 'set-claims', 'ada', '--claims', claims])
        t.match({ code, stderr }, { code: 64, stderr: /the claims / }, claims)
      }
    })

    t.test('delete: at once', async (t) => {
      const held = await signInAs('ada', 'second')
      t.match(await cli(['user', 'delete', 'ada']), { code: 0, stdout: /deleted/ })
      expectOAuthError(t, await tryRefresh(url, held.refresh_token, client), 'invalid_grant')
      expectOAuthError(t, await trySignIn('ada', 'second'), 'invalid_grant')
      t.notMatch((await cli(['user', 'list'])).stdout, /^ada /m)
      t.equal((await add('ada', 'second')).code, 0, 'the name is free again')
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'and no session comes back',
      )
    })

    t.test('nobody', async (t) => {
      const verbs = ['disable', 'enable', 'delete', 'set-password']
      await Promise.all(
        verbs.map(async (verb) => {
          const args = ['user', verb, 'nobody', ...(verb === 'set-password' ? ['--password-stdin'] : [])]
          t.match(
            await cli(args, 'x'),
            { code: 1, stdout: '', stderr: /There is no user "nobody". See: pawl user list/ },
            verb,
          )
        }),
      )
    })
  })
}
