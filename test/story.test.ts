import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { deploy, STORE_KINDS, type StoreKind } from './support/deployment.ts'
import { type Answer, ask, signIn } from './support/http-client.ts'
import { freePort } from './support/processes.ts'
import { createReaper } from './support/reaper.ts'

type Environment = Record<string, string>

const ADA = { client_id: 'web', username: 'ada', password: 'correct horse battery staple' }
const ADD_CLIENT = 'client add web --public --grant password --grant refresh_token --scope read'
const ADD_USER = 'user add ada --password-stdin'

const example = (file: string) =>
  fileURLToPath(new URL(`../../examples/resource-server/${file}`, import.meta.url))

/** A running issuer that the command line has told of the client and the user, as an operator would. */
async function startIssuer(t: Test, kind: StoreKind, env: Environment = {}) {
  const deployment = await deploy(t, kind, { env })
  const server = await deployment.startServer()
  for (const [command, stdin] of [
    [ADD_CLIENT, ''],
    [ADD_USER, ADA.password],
  ] as const) {
    const { code, stderr } = await deployment.cli(command.split(' '), stdin)
    if (code !== 0) throw new Error(`pawl ${command}: ${stderr}`)
  }
  return { issuer: `http://localhost:${server.port}`, stop: server.stop }
}

async function startApi(t: Test, env: Environment) {
  const child = spawn(process.execPath, [example('server.js')], { env: { PORT: '0', ...env } })
  const reaper = createReaper()
  reaper.watch(child.pid)
  const exited = once(child, 'exit')
  const stderr = text(child.stderr)
  async function stop() {
    child.kill('SIGTERM')
    const [code] = await exited
    reaper.watch(undefined)
    await reaper.finish()
    return { code, stderr: await stderr }
  }
  t.teardown(stop)
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return { url: String(line).replace('listening on ', ''), stop }
}

async function runClient(env: Environment) {
  const child = spawn(process.execPath, [example('client.js'), '--json'], { env })
  const exited = once(child, 'exit')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await exited
  return { code, stdout, stderr }
}

const bearer = (accessToken: string) => ({ headers: { authorization: `Bearer ${accessToken}` } })
const challenge = ({ status, headers }: Answer) => [status, headers['www-authenticate']]

for (const kind of STORE_KINDS) {
  t.test(`the story of one session, on ${kind}`, async (t) => {
    const { issuer } = await startIssuer(t, kind, { ACCESS_TOKEN_TTL: '5', REFRESH_TOKEN_GRACE: '1' })
    const api = await startApi(t, { ISSUER: issuer })
    const { code, stdout, stderr } = await runClient({
      ISSUER: issuer,
      API: api.url,
      CLIENT_ID: ADA.client_id,
      USERNAME: ADA.username,
      PASSWORD: ADA.password,
      GRACE: '1',
    })

    const steps = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    t.strictSame(
      steps.map(({ step, seen }) => [step, seen]),
      [
        ['sign in', '200'],
        ['call the API', '200'],
        ['call the API, the access token expired', '401 invalid_token'],
        ['refresh', '200'],
        ['call the API, the new access token', '200'],
        ['replay the old refresh token', '400 invalid_grant'],
        ['refresh with the newest: session ended', '400 invalid_grant'],
        ['sign in again', '200'],
      ],
    )
    t.equal(code, 0, 'the client says that the story went as told')
    t.notMatch(stdout + stderr, /prt_|eyJ/, 'it prints no token')
    t.notMatch(stdout + stderr, ADA.password, 'it prints no password')
  })
}

t.test('what the API answers', async (t) => {
  const { issuer, stop } = await startIssuer(t, 'lmdb')
  const api = await startApi(t, { ISSUER: issuer })
  const { access_token } = await signIn(issuer, ADA)

  const hello = await ask(`${api.url}/hello`, bearer(access_token))
  t.match(hello, { status: 200, json: { sub: /\S/, client_id: 'web', scope: 'read' } })
  const left = Number(hello.json?.expires_in)
  t.ok(left > 0 && left <= 300, 'expires_in is what the access token has left')

  t.strictSame(
    challenge(await ask(`${api.url}/hello`)),
    [401, 'Bearer realm="example"'],
    'without an access token',
  )
  t.strictSame(
    challenge(await ask(`${api.url}/hello`, bearer(`${access_token.slice(0, -8)}AAAAAAAA`))),
    [401, 'Bearer error="invalid_token", error_description="The access token is not valid"'],
    'with an altered one',
  )
  t.strictSame(
    challenge(await ask(`${api.url}/admin`, bearer(access_token))),
    [403, 'Bearer error="insufficient_scope", scope="admin"'],
    'without the scope',
  )
  const another = await startApi(t, { ISSUER: issuer, AUDIENCE: 'https://another.example' })
  t.equal((await ask(`${another.url}/hello`, bearer(access_token))).status, 401, 'at another API')

  await stop()
  const answer = await ask(`${api.url}/hello`, bearer(access_token))
  t.equal(answer.status, 200, 'it knows the keys already: the issuer may be away')
  t.strictSame(await api.stop(), { code: 0, stderr: '' }, 'SIGTERM ends it in good order')
})

t.test('that keys cannot be fetched is no fault of the token', async (t) => {
  const { issuer } = await startIssuer(t, 'lmdb')
  const nowhere = `http://127.0.0.1:${await freePort()}/jwks.json`
  const api = await startApi(t, { ISSUER: issuer, JWKS_URI: nowhere })
  const { access_token } = await signIn(issuer, ADA)

  const answer = await ask(`${api.url}/hello`, bearer(access_token))
  t.strictSame(challenge(answer), [503, undefined])
  t.equal(answer.headers['content-type'], 'application/problem+json')
  t.notOk('error' in (answer.json ?? {}), 'no client may take it for the end of its session')
  t.match(await api.stop(), { code: 0, stderr: nowhere }, 'the log names the address')
})
