import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { ask, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { runCli, type ServerProcess, startServer } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** It is ready a moment before it tells. */
const told = (server: ServerProcess) =>
  until('it has told', () => server.lines.some((line) => line.startsWith('{') || line.includes('client add')))

t.test('dev --json --port 0 --temporary: all that another project’s tests need is in one line', async (t) => {
  const cwd = t.testdir()
  const TMPDIR = join(cwd, 'tmp')
  mkdirSync(TMPDIR)
  const begin = performance.now()
  const args = ['dev', '--json', '--port', '0', '--temporary']
  const server = await startServer({ args, env: { TMPDIR }, cwd })
  t.teardown(() => server.stop())
  await told(server)
  // On a machine with nothing else to do, one.
  t.ok(performance.now() - begin < 15_000, 'within fifteen seconds')
  t.equal(server.lines.length, 1, 'one line')
  const line = JSON.parse(server.lines[0] ?? '')
  t.strictSame(Object.keys(line).sort(), [
    'client',
    'issuer',
    'jwks_uri',
    'management',
    'password',
    'scope',
    'token_endpoint',
    'user',
  ])
  t.match(line, {
    issuer: /^http:\/\/localhost:\d+$/,
    token_endpoint: `${line.issuer}/token`,
    jwks_uri: `${line.issuer}/.well-known/jwks.json`,
    management: /^http:\/\/127\.0\.0\.1:\d+$/,
  })
  const account = { client_id: line.client, username: line.user, password: line.password }
  const tokens = await signIn(line.issuer, account)
  t.equal(tokens.scope, line.scope)
  const { payload } = await jwtVerify(tokens.access_token, createRemoteJWKSet(new URL(line.jwks_uri)), {
    issuer: line.issuer,
  })
  t.equal(payload.aud, line.issuer)
  t.ok(await refresh(line.issuer, tokens.refresh_token, { client_id: line.client }))
  t.equal((await ask(`${line.management}/health/ready`)).status, 200)

  const beside = await startServer({ args, env: { TMPDIR }, cwd })
  t.teardown(() => beside.stop())
  await told(beside)
  const other = JSON.parse(beside.lines[0] ?? '')
  t.not(other.issuer, line.issuer, 'several may run at once')
  t.not(other.password, line.password)
  t.equal(readdirSync(TMPDIR).filter((name) => name.startsWith('pawl-dev-')).length, 2)
  t.strictSame([await server.stop(), await beside.stop()], [0, 0])
  t.strictSame(
    readdirSync(TMPDIR).filter((name) => name.startsWith('pawl-dev-')),
    [],
    'nothing is left',
  )
  t.notOk(existsSync(join(cwd, 'data')) || existsSync(join(cwd, 'keys')), 'and nothing was made elsewhere')
  t.notMatch(server.stderr, line.password, 'the log does not have the password')
})

t.test('dev: lines to paste, and a folder that keeps', async (t) => {
  const cwd = t.testdir()
  const server = await startServer({ args: ['dev'], cwd })
  const issuer = `http://localhost:${server.port}`
  const passwordIn = (lines: string[]) => /password=(\S+?)\)/.exec(lines.join('\n'))?.[1] ?? ''
  await told(server)
  const text = server.lines.join('\n')
  for (const words of [
    `curl -s ${issuer}/token`,
    'grant_type=password',
    'grant_type=refresh_token',
    'examples/resource-server',
    'session list',
    'npm start',
  ]) {
    t.ok(text.includes(words), words)
  }
  const account = (lines: string[]) => ({ client_id: 'demo', username: 'demo', password: passwordIn(lines) })
  const held = await signIn(server.url, account(server.lines))
  const listed = await runCli(['session', 'list', '--user', 'demo', '--json'], { cwd })
  t.match(
    listed,
    { code: 0, stdout: /"client_id":"demo"/ },
    'the other commands, in the same folder, act on the same store',
  )
  t.equal(await server.stop(), 0)

  const again = await startServer({ args: ['dev'], env: { PORT: String(server.port) }, cwd })
  t.teardown(() => again.stop())
  await told(again)
  t.not(passwordIn(again.lines), passwordIn(server.lines), 'a new password at each start')
  t.ok(await signIn(again.url, account(again.lines)))
  t.equal(
    (await tryRefresh(again.url, held.refresh_token, { client_id: 'demo' })).status,
    400,
    'which ends the sessions before',
  )
})

t.test('dev is for this machine alone', async (t) => {
  const rows: [env: Record<string, string>, code: number, says: RegExp][] = [
    [{ NODE_ENV: 'production' }, 1, /not for NODE_ENV=production: use pawl serve/],
    [{ ISSUER: 'https://auth.example.com' }, 1, /ISSUER is not on loopback: use pawl serve/],
    [{ HOST: '0.0.0.0' }, 1, /HOST is not on loopback/],
    [{ MANAGEMENT_HOST: '0.0.0.0' }, 1, /MANAGEMENT_HOST is not on loopback/],
    [{ ISSUER: 'http://auth.example.com' }, 78, /^ISSUER must be https/],
    [{ PORT: 'x', LOG_LEVEL: 'y' }, 78, /^PORT .*\n(.*\n)*LOG_LEVEL /],
  ]
  const cwd = t.testdir()
  await Promise.all(
    rows.map(async ([env, code, says]) => {
      const result = await runCli(['dev', '--json'], { env, cwd })
      t.match(result, { code, stdout: '', stderr: says }, JSON.stringify(env))
    }),
  )
  t.strictSame(readdirSync(cwd), [], 'nothing was made')
})
