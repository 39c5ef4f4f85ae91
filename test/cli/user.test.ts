import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, refresh, signIn, tryRefresh, trySignIn } from '../support/http-client.ts'
import { inLanes } from '../support/in-lanes.ts'
import { runHere } from '../support/run-here.ts'

/** Such as the rules let pass. */
const FIRST = 'walks along the river'
const SECOND = 'sleeps under the bridge'
const OTHER = 'eats by the open window'

for (const kind of STORE_KINDS) {
  t.test(`pawl user, beside a running server on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli } = deployment
    await deployment.addClient('web', { scopes: ['read'] })
    const { url } = await deployment.startServer()
    const client = { client_id: 'web' }
    const signInAs = (username: string, password: string) => signIn(url, { ...client, username, password })
    const trySignInAs = (username: string, password: string) =>
      trySignIn(url, { ...client, username, password })
    const add = (name: string, password: string, ...more: string[]) =>
      cli(['user', 'add', name, '--password-stdin', ...more], password)

    t.test('add', async (t) => {
      t.match(await add('ada', FIRST), {
        code: 0,
        stderr: '',
        stdout: /^Created the user ada, sub usr_[\w-]{22}\n$/,
      })
      const { code, stdout } = await add('Zoë', `${OTHER}\r\n`, '--json')
      t.equal(code, 0)
      const created = JSON.parse(stdout)
      t.strictSame(Object.keys(created).sort(), ['claims', 'createdAt', 'disabled', 'sub', 'username'])
      t.match(created, { username: 'Zoë', disabled: false, sub: /^usr_/ })
      t.ok(
        await signInAs('zoë', OTHER),
        'the end of the line is no part of the password, and it works at once',
      )
    })

    t.test('add, refused', async (t) => {
      const taken: [name: string, password: string, says: RegExp][] = [
        ['ada', SECOND, /There is a user "ada" already/],
        ['ADA', SECOND, /There is a user "ADA" already/],
      ]
      const bad: typeof taken = [
        ['', 'x', /The name is empty/],
        [' eve', 'x', /begins or ends with a space/],
        ['e\tve', 'x', /control character/],
        ['e'.repeat(257), 'x', /longer than 256/],
        ['eve', '', /The password is empty/],
        ['eve', '\n', /The password is empty/],
        ['eve', 'short but nice', /The password is shorter than 15 characters/],
        ['eve', `${SECOND} `.repeat(20), /longer than 256 characters/],
        ['eve', 'password1234567', /tried first: a common password/],
        ['evelyn.waugh', 'Evelyn-Waugh-2026', /little more than the name of the user/],
      ]
      // What is wrong in itself is so on any store.
      const rows = [...taken, ...(kind === 'lmdb' ? bad : [])]
      await inLanes(rows, async ([name, password, says]) => {
        t.match(
          await add(name, password),
          { code: 1, stdout: '', stderr: says },
          `${name.slice(0, 9)} ${says}`,
        )
      })
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

    t.test('list, a page at a time', async (t) => {
      const namesOf = async (...args: string[]) =>
        (await cli(['user', 'list', '--json', ...args])).stdout
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line).username)
      t.strictSame(await namesOf('--limit', '1'), ['ada'])
      t.strictSame(await namesOf('--limit', '1', '--after', 'ada'), ['Zoë'])
      t.strictSame(await namesOf('--after', 'bertha'), ['Zoë'], 'behind a name that nobody has')
      t.strictSame(await namesOf('--limit', '1', '--after', 'Zoë'), [])
      t.match(await runHere(['user', 'list', '--limit', '0']), { code: 64, stderr: /--limit takes 1 to/ })
    })

    t.test('show', async (t) => {
      const { code, stdout } = await cli(['user', 'show', 'ADA', '--json'])
      t.equal(code, 0)
      t.match(JSON.parse(stdout), { username: 'ada', disabled: false, passwordHash: 'argon2id' })
      t.notMatch(stdout, /epoch|m=/)
    })

    t.test('disable and enable: at once, and the old sessions stay ended', async (t) => {
      const held = await signInAs('ada', FIRST)
      t.match(await cli(['user', 'disable', 'Ada']), { code: 0, stdout: /disabled/ })
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'the next refresh',
      )
      expectOAuthError(t, await trySignInAs('ada', FIRST), 'invalid_grant', 'the next sign-in')
      t.match((await cli(['user', 'list'])).stdout, /^ada .* disabled /m)
      t.match(await cli(['user', 'enable', 'ada']), { code: 0, stdout: /may sign in again/ })
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'the old session',
      )
      t.ok(await signInAs('ada', FIRST), 'a new one')
    })

    t.test('set-password: at once, and every session ends', async (t) => {
      const sessions = [await signInAs('ada', FIRST), await signInAs('ada', FIRST)]
      const other = await signInAs('Zoë', OTHER)
      const done = await cli(['user', 'set-password', 'ada', '--password-stdin'], `${SECOND}\n`)
      t.match(done, { code: 0, stderr: '', stdout: /every session of the user has ended/ })
      for (const { refresh_token } of sessions) {
        expectOAuthError(t, await tryRefresh(url, refresh_token, client), 'invalid_grant', 'the next refresh')
      }
      expectOAuthError(t, await trySignInAs('ada', FIRST), 'invalid_grant', 'the old password')
      t.ok(await signInAs('ada', SECOND), 'the new one')
      t.ok(await refresh(url, other.refresh_token, client), 'other users go on')
      t.match(await cli(['user', 'set-password', 'ada', '--password-stdin'], ''), {
        code: 1,
        stderr: /empty/,
      })
      const shortest = { PASSWORD_MIN_LENGTH: '24' }
      t.match(
        await cli(['user', 'set-password', 'ada', '--password-stdin'], SECOND, shortest),
        { code: 1, stderr: /The password is shorter than 24 characters/ },
        'by the rules, as the server has them',
      )
    })

    t.test('set-claims: from the next refresh on', async (t) => {
      const held = await signInAs('ada', SECOND)
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
      const held = await signInAs('ada', SECOND)
      t.match(await cli(['user', 'delete', 'ada']), { code: 0, stdout: /deleted/ })
      expectOAuthError(t, await tryRefresh(url, held.refresh_token, client), 'invalid_grant')
      expectOAuthError(t, await trySignInAs('ada', SECOND), 'invalid_grant')
      t.notMatch((await cli(['user', 'list'])).stdout, /^ada /m)
      t.equal((await add('ada', SECOND)).code, 0, 'the name is free again')
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, client),
        'invalid_grant',
        'and no session comes back',
      )
    })

    t.test('nobody', async (t) => {
      const verbs = ['disable', 'enable', 'delete', 'show', 'set-password']
      await inLanes(verbs, async (verb) => {
        const args = ['user', verb, 'nobody', ...(verb === 'set-password' ? ['--password-stdin'] : [])]
        t.match(
          await cli(args, SECOND),
          { code: 1, stdout: '', stderr: /There is no user "nobody". See: pawl user list/ },
          verb,
        )
      })
    })
  })
}
