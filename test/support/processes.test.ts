import { existsSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { childrenOf, runCli, signalChildOf, startServer } from './processes.ts'
import { IS_UNINSTRUMENTED } from './uninstrumented.ts'

test('a server is ready when it is returned, and ends in good order', async (t) => {
  const server = await startServer()
  t.equal((await fetch(`${server.url}/.well-known/jwks.json`)).status, 200)
  t.equal((await fetch(`${server.managementUrl}/health/live`)).status, 200)
  t.ok(existsSync(server.cwd))
  t.equal(await server.stop(), 0)
  t.ok(server.lines.length > 0, 'its log was collected')
  for (const line of server.lines) t.equal(typeof JSON.parse(line), 'object')
  t.notOk(existsSync(server.cwd), 'its own folder is gone')
  await t.rejects(fetch(server.url), 'nothing listens any more')
  t.equal(await server.stop(), 0, 'a second stop has the same answer')
})

test('a killed server is gone', async (t) => {
  const server = await startServer()
  await server.kill()
  await t.rejects(fetch(server.url))
  t.equal(await server.stop(), null, 'it has no exit code')
})

test('a server that cannot start says at once why', async (t) => {
  await t.rejects(startServer({ env: { ISSUER: 'nowhere' } }), { message: /ISSUER/ })
})

test('of the environment of the tests nothing gets through', async (t) => {
  process.env.ACCESS_TOKEN_TTL = 'wrong'
  t.teardown(() => {
    delete process.env.ACCESS_TOKEN_TTL
  })
  t.match(await runCli(['serve', '--check-config']), { code: 0 })
  t.match(await runCli(['serve', '--check-config'], { env: { ACCESS_TOKEN_TTL: 'wrong' } }), { code: 78 })
})

test('a server runs as users run it: nothing of the test runner is loaded into it', async (t) => {
  const server = await startServer()
  const environment = readFileSync(`/proc/${server.pid}/environ`, 'utf8')
  t.equal(await server.stop(), 0)
  const names = environment.split('\0').map((variable) => variable.split('=')[0])
  t.ok(names.includes('PATH'))
  const loads = names.filter((name) => name === 'NODE_OPTIONS' || name?.startsWith('_TAPJS_'))
  if (IS_UNINSTRUMENTED) t.strictSame(loads, [])
  else t.ok(loads.includes('NODE_OPTIONS'), 'but for coverage')
})

test('a command gets its input and gives its output', async (t) => {
  const added = await runCli(['user', 'add', 'ada', '--password-stdin'], { stdin: 'correct horse battery\n' })
  t.match(added, { code: 0, stderr: '' })
  t.match(added.stdout, /ada/)
  const unknown = await runCli(['no-such-verb'])
  t.not(unknown.code, 0)
  t.match(unknown.stderr, /no-such-verb/)
})

test('a process without children is sent no signal, and nor is anybody else', async (t) => {
  const server = await startServer()
  t.strictSame(childrenOf(server.pid), [])
  t.throws(() => signalChildOf(server.pid, 'SIGKILL'), /has started no other/)
  t.equal(await server.stop(), 0)
})
