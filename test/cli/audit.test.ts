import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import t from 'tap'
import { recordOf } from '../../src/audit/event.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, signIn } from '../support/http-client.ts'
import { runHere } from '../support/run-here.ts'
import { until } from '../support/until.ts'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))

for (const kind of STORE_KINDS) {
  t.test(`pawl audit list, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const cli = async (args: string[], stdin?: string) => {
      const result = await deployment.cli(args, stdin)
      t.match(result, { code: 0, stderr: '' }, args.join(' '))
      return result.stdout
    }
    const listed = async (...args: string[]) =>
      (await cli(['audit', 'list', '--json', ...args]))
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))

    t.test('what the command line does', async (t) => {
      t.strictSame(await listed(), [])
      t.match(await cli(['audit', 'list']), /^TIME +EVENT +ACTOR +CLIENT +SUB +SESSION +NETWORK +REASON\n$/)
      const { sub } = JSON.parse(
        await cli(['user', 'add', 'ada', '--password-stdin', '--json'], 'a long enough password'),
      )
      await cli(['user', 'set-password', 'ada', '--password-stdin'], 'another long password')
      await cli(['user', 'set-claims', 'ada', '--claims', '{"role":"admin"}'])
      await cli(['user', 'disable', 'ada'])
      await cli(['user', 'enable', 'ada'])
      await cli(['client', 'add', 'web', '--confidential', '--json'])
      await cli(['client', 'update', 'web', '--scope', 'read', '--refresh-token-grace', '0'])
      await cli(['client', 'rotate-secret', 'web', '--json'])
      await cli(['client', 'disable', 'web'])
      await cli(['client', 'enable', 'web'])
      await cli(['session', 'revoke', '--user', 'ada'])
      await cli(['session', 'revoke', '--client', 'web'])
      await cli(['client', 'delete', 'web'])
      await cli(['user', 'delete', 'ada'])
      await cli(['user', 'list'])
      const client = { client_id: 'web' }
      const expected = [
        { event: 'user.created', sub },
        { event: 'user.password_changed', sub },
        { event: 'user.changed', sub, changed: ['claims'] },
        { event: 'user.disabled', sub },
        { event: 'user.enabled', sub },
        { event: 'client.created', ...client },
        { event: 'client.changed', ...client, changed: ['scopes', 'refreshTokenGrace'] },
        { event: 'client.secret_rotated', ...client },
        { event: 'client.disabled', ...client },
        { event: 'client.enabled', ...client },
        { event: 'session.revoked', reason: 'operator', sub },
        { event: 'session.revoked', reason: 'operator', ...client },
        { event: 'client.deleted', ...client },
        { event: 'user.deleted', sub },
      ]
      const told = await listed()
      t.strictSame(
        told.map(({ id: _, time: __, ...event }) => event),
        expected.map((event) => ({ actor: 'operator', ...event })),
      )
      for (const { id, time } of told) t.match({ id, time }, { id: /^evt_[\w-]{16}$/, time: /Z$/ })
      t.equal((await listed('--user', sub)).length, 7, 'of a deleted user, by the sub')
    })

    t.test('beside a server', async (t) => {
      const ada = await deployment.addAccount('ada')
      const eve = await deployment.addAccount('eve')
      const server = await deployment.startServer()
      const [first, second] = [await signIn(server.url, ada), await signIn(server.url, ada)]
      await signIn(server.url, eve)
      const { sid, sub } = claimsOf(first.access_token)
      await until('the server has written them', async () => (await listed('--user', 'eve')).length === 1)
      t.match(await listed('--user', 'ADA'), [
        { event: 'sign_in.succeeded', sub, sid },
        { event: 'sign_in.succeeded', sub, sid: claimsOf(second.access_token).sid },
      ])
      // An id may begin with a hyphen.
      t.match(await listed(`--session=${sid}`), [{ event: 'sign_in.succeeded', sid }])
      t.strictSame(await listed('--user', 'nobody'), [])
      t.strictSame(await listed('--since', '2100-01-01'), [])
      t.equal((await listed('--since', '1h')).length, (await listed()).length)
      t.match(
        await cli(['audit', 'list', '--user', 'eve']),
        /\n\S+Z +sign_in\.succeeded +client +eve +usr_\S+ +\S+ +127\.0\.0\.0\/24 +-\n$/,
      )

      const following = spawn(
        process.execPath,
        [MAIN, 'audit', 'list', '--follow', '--json', '--user', 'eve'],
        {
          env: { PATH: process.env.PATH, ...deployment.env },
        },
      )
      t.teardown(() => following.kill('SIGKILL'))
      let stdout = ''
      following.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      const lines = () => stdout.split('\n').length - 1
      await until('it lists', () => lines() === 1)
      await signIn(server.url, eve)
      await signIn(server.url, ada)
      await until('it follows', () => lines() === 2)
      const ended = new Promise((resolve) => following.once('exit', resolve))
      following.kill('SIGTERM')
      t.equal(await ended, 0, 'until it is stopped')
    })
  })
}

t.test('a damaged event is passed over, and told of at the end', async (t) => {
  const { cli, dataDir, env, withStore, closeStore } = await deploy(t, 'lmdb')
  const records = ['one', 'two', 'three'].map((sub) => recordOf({ event: 'user.changed', sub }))
  await withStore((store) => store.audit.append(records, 100))
  await closeStore()
  const root = open({ path: dataDir, noSubdir: false, maxDbs: 32, overlappingSync: false })
  const audit = root.openDB<Buffer, number>({ name: 'audit', encoding: 'binary' })
  // A start looks at the checksums of the keys, which stand first.
  await audit.put(2, Buffer.from(audit.get(2) ?? []).fill(0, 4))
  await root.close()

  const stderr = /the record of audit event 2 cannot be read/
  const shown = await cli(['audit', 'list'])
  t.match(shown, { code: 1, stdout: /^TIME .* one .* three /s, stderr })
  const inJson = await cli(['audit', 'list', '--json'])
  t.match(inJson, { code: 1, stdout: /"one".*"three"/s, stderr })

  const following = spawn(process.execPath, [MAIN, 'audit', 'list', '--follow', '--json'], {
    env: { PATH: process.env.PATH, ...env },
  })
  t.teardown(() => following.kill('SIGKILL'))
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    following[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text
    })
  await until('it lists', () => said.stdout.includes('"three"'))
  await withStore((store) => store.audit.append([recordOf({ event: 'user.changed', sub: 'four' })], 100))
  await until('it follows', () => said.stdout.includes('"four"'))
  t.match(said.stderr, stderr, 'who follows is told at once')
  t.equal(said.stderr.split('\n').length, 2, 'and once')
})

t.test('times that are none', async (t) => {
  for (const since of ['', 'yesterday', '1', '1w', '-1h', '2026', '2026-13-45', '1.5h']) {
    const { code, stderr } = await runHere(['audit', 'list', `--since=${since}`])
    t.match({ code, stderr }, { code: 64, stderr: /--since takes a time/ }, since)
  }
})
