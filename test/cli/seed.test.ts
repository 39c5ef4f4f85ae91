import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hashClientSecret } from '../../src/accounts/client.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { freePort } from '../support/free-port.ts'
import { ask, basic, claimsOf, postForm, refresh, signIn, trySignIn } from '../support/http-client.ts'
import { startRedis } from '../support/redis.ts'
import { runHere } from '../support/run-here.ts'
import { until } from '../support/until.ts'

const SECRET = 'a-secret-of-a-client-that-is-long-enough'
const BCRYPT = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const PASSWORD = 'walks along the river'

const SEED = {
  clients: [
    { client_id: 'app', type: 'public', scopes: ['read'], access_token_ttl: 60 },
    {
      client_id: 'backend',
      type: 'confidential',
      grants: ['client_credentials'],
      audiences: ['https://api.example.com'],
      claims: { tier: 1 },
      client_secret: SECRET,
    },
    {
      client_id: 'mounted',
      type: 'confidential',
      grants: ['client_credentials'],
      client_secret_file: 'secret',
    },
    {
      client_id: 'hashed',
      type: 'confidential',
      grants: ['client_credentials'],
      client_secret_hash: hashClientSecret(`hashed-${SECRET}`),
    },
  ],
  users: [
    { username: 'Ada', password: PASSWORD, sub: 'auth0|ada', claims: { roles: ['admin'] } },
    { username: 'bert', password_hash: BCRYPT },
    { username: 'cleo', password_file: 'cleo-password' },
    { username: 'dora', password: PASSWORD, disabled: true },
  ],
}

for (const kind of STORE_KINDS) {
  t.test(`SEED_FILE on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const file = join(deployment.cwd, 'seed.json')
    writeFileSync(join(deployment.cwd, 'secret'), `mounted-${SECRET}\n`)
    writeFileSync(join(deployment.cwd, 'cleo-password'), 'sleeps under the bridge\n')
    writeFileSync(file, JSON.stringify(SEED))
    const env = { SEED_FILE: file }
    const signInAs = (url: string, username: string, password: string) =>
      trySignIn(url, { client_id: 'app', username, password })

    t.test('several servers that start at once make it so, before they listen', async (t) => {
      const servers = await Promise.all([deployment.startServer(env), deployment.startServer(env)])
      for (const { url } of servers) {
        const tokens = await signIn(url, { client_id: 'app', username: 'ada', password: PASSWORD })
        t.match(claimsOf(tokens.access_token), { sub: 'auth0|ada', roles: ['admin'], scope: 'read' })
        t.match(tokens, { expires_in: 60 })
        t.match(await signInAs(url, 'bert', 'U*U'), { status: 200 })
        t.match(await signInAs(url, 'cleo', 'sleeps under the bridge'), { status: 200 })
        expectOAuthError(t, await signInAs(url, 'dora', PASSWORD), 'invalid_grant')
        for (const [id, secret] of [
          ['backend', SECRET],
          ['mounted', `mounted-${SECRET}`],
          ['hashed', `hashed-${SECRET}`],
        ] as const) {
          const form = { grant_type: 'client_credentials' }
          t.match(await postForm(`${url}/token`, form, basic(id, secret)), { status: 200 }, id)
        }
      }
      const { stdout } = await deployment.cli(['user', 'list', '--json'])
      t.equal(stdout.trim().split('\n').length, SEED.users.length, 'each once')
      const log = servers.flatMap(({ lines }) => lines).join('\n')
      for (const secret of [SECRET, PASSWORD, 'sleeps under', 'argon2', BCRYPT]) t.notOk(log.includes(secret))
      await Promise.all(servers.map((server) => server.stop()))
    })

    t.test('at the next start what it declares holds again, and what a person changed stays', async (t) => {
      t.match(
        await deployment.cli(['client', 'update', 'app', '--scope', 'other', '--on-reuse', 'observe']),
        {
          code: 0,
        },
      )
      const changed = 'eats by the open window'
      t.match(await deployment.cli(['user', 'set-password', 'ada', '--password-stdin'], changed), { code: 0 })
      t.match(await deployment.cli(['user', 'set-claims', 'ada', '--claims', '{}']), { code: 0 })
      const [clients, users] = [structuredClone(SEED.clients), structuredClone(SEED.users)]
      writeFileSync(
        file,
        JSON.stringify({ clients, users: users.map((user) => ({ ...user, disabled: false })) }),
      )
      const server = await deployment.startServer(env)
      const tokens = await signIn(server.url, { client_id: 'app', username: 'ada', password: changed })
      t.match(claimsOf(tokens.access_token), { scope: 'read', roles: ['admin'], sub: 'auth0|ada' })
      t.match(await signInAs(server.url, 'dora', PASSWORD), { status: 200 }, 'enabled, as it is declared now')
      const listed = (await deployment.cli(['client', 'list', '--json'])).stdout
      t.match(listed, /"onReuse":"observe"/, 'what is not declared is left alone')
      await server.stop()

      const again = await deployment.startServer(env)
      await until('it says so', () => again.lines.some((line) => line.includes('the seed file is applied')))
      t.notOk(
        again.lines.some((line) => /"seed":/.test(line)),
        'there is nothing left to change',
      )
      t.ok(await refresh(again.url, tokens.refresh_token, { client_id: 'app' }), 'and no session ends by it')
    })

    t.test('what cannot be is left alone, and said', async (t) => {
      await deployment.addClient('taken')
      writeFileSync(
        file,
        JSON.stringify({
          clients: [{ client_id: 'app', type: 'confidential', client_secret: SECRET }],
          users: [
            { username: 'ada', password: PASSWORD, sub: 'another' },
            { username: 'first', password: PASSWORD, sub: 'hashed' },
            { username: 'second', password: PASSWORD, sub: 'taken' },
          ],
        }),
      )
      const server = await deployment.startServer(env)
      const said = (place: string) =>
        until(place, () => server.lines.find((line) => line.includes(`"seed":"${place}"`)))
      t.match(await said('clients[0]'), /is public, and stays so: left alone/)
      t.match(await said('users[0]'), /another sub: left alone/)
      t.match(await said('users[1]'), /not created/)
      t.match(await said('users[2]'), /not created/)
      expectOAuthError(t, await signInAs(server.url, 'first', PASSWORD), 'invalid_grant')
    })
  })
}

t.test('a store that is away fails no start: the seed is applied when it is there', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const deployment = await deploy(t, 'lmdb', { env: { STORE_URL: redis.url } })
  const file = join(deployment.cwd, 'seed.json')
  writeFileSync(
    file,
    JSON.stringify({ clients: SEED.clients.slice(0, 1), users: [{ username: 'ada', password: PASSWORD }] }),
  )
  const MANAGEMENT_PORT = String(await freePort())
  await redis.pause()
  // It is ready when the store is, which is what this waits for.
  const starting = deployment.startServer({ SEED_FILE: file, MANAGEMENT_PORT })
  await until('it listens, without the store', async () => {
    const { status } = await ask(`http://127.0.0.1:${MANAGEMENT_PORT}/health/live`)
    return status === 200
  })
  await redis.resume()
  const server = await starting
  t.ok(server.lines.some((line) => line.includes('the seed file waits for the store')))
  await until('ada can sign in', async () => {
    const form = { grant_type: 'password', client_id: 'app', username: 'ada', password: PASSWORD }
    return (await postForm(`${server.url}/token`, form)).status === 200
  })
})

t.test(
  'a server that is stopped while it applies the seed ends what it has begun, and no more',
  async (t) => {
    const deployment = await deploy(t, 'lmdb')
    const file = join(deployment.cwd, 'seed.json')
    // More passwords than are hashed in the five seconds that the start waits.
    const users = Array.from({ length: 1000 }, (_, i) => ({ username: `user-${i}`, password: PASSWORD }))
    writeFileSync(file, JSON.stringify({ users }))
    const server = await deployment.startServer({ SEED_FILE: file })
    const says = (what: string) => server.lines.filter((line) => line.includes(what)).length
    t.equal(says('the seed file is applied'), 0, 'it is being applied')
    const begin = performance.now()
    t.equal(await server.stop(), 0)
    t.ok(performance.now() - begin < 4000)
    t.equal(says('cannot be applied') + says('waits for the store') + says('is applied'), 0)
    t.equal(server.stderr, '')
    const listed = (await deployment.cli(['user', 'list', '--json'])).stdout.trim().split('\n')
    t.equal(listed.length, says('created a user'), 'what it says it has done is done')
  },
)

t.test('a bad file ends the start, and names each fault', async (t) => {
  const folder = t.testdir({ empty: '' })
  const file = join(folder, 'seed.json')
  const check = async (seed: unknown, verb: string[] = ['serve', '--check-config']) => {
    writeFileSync(file, typeof seed === 'string' ? seed : JSON.stringify(seed))
    return runHere(verb, { SEED_FILE: file })
  }
  const app = { client_id: 'app', type: 'public' }
  const web = { client_id: 'web', type: 'confidential', client_secret: SECRET }
  const ada = { username: 'ada', password: PASSWORD }
  t.match(await check({ clients: [app, web], users: [ada] }), { code: 0, stderr: '' })
  t.match(await check({}), { code: 0 })

  const rows: [seed: unknown, says: RegExp][] = [
    ['{', /SEED_FILE \S+seed\.json is not JSON/],
    [[], /the file must be a JSON object/],
    [{ client: [] }, /client is not known; there are clients, users/],
    [{ clients: {} }, /clients must be a list/],
    [{ clients: [app, app] }, /clients has the same client_id twice/],
    [{ clients: [{ ...app, client_id: 'usr_x' }] }, /clients\[0\]\.client_id is not 1 to 64/],
    [{ clients: [{ client_id: 'x' }] }, /clients\[0\]\.type is missing/],
    [
      { clients: [{ ...app, grants: ['implicit'] }] },
      /clients\[0\]\.grants must be a list of grants: password/,
    ],
    [
      { clients: [{ ...app, grants: ['client_credentials'] }] },
      /clients\[0\]\.grants .*confidential clients only/,
    ],
    [{ clients: [{ ...app, scopes: ['a b'] }] }, /clients\[0\]\.scopes must be a list of scope tokens/],
    [
      { clients: [{ ...app, access_token_ttl: '60' }] },
      /clients\[0\]\.access_token_ttl must be 1 to 86400 seconds/,
    ],
    [{ clients: [{ ...app, claims: { sub: 1 } }] }, /clients\[0\]\.claims have the reserved name sub/],
    [{ clients: [{ ...app, redirect_uris: [] }] }, /clients\[0\]\.redirect_uris is not known/],
    [{ clients: [{ ...app, client_secret: SECRET }] }, /client_secret is for confidential clients only/],
    [{ clients: [{ ...web, client_secret: 'short' }] }, /clients\[0\]\.client_secret must be 32 to 128/],
    [{ clients: [{ ...web, client_secret_hash: 'x' }] }, /clients\[0\] needs one of client_secret, /],
    [{ clients: [{ client_id: 'w', type: 'confidential', client_secret_hash: 'x' }] }, /must be a SHA-256/],
    [
      { clients: [{ client_id: 'w', type: 'confidential', client_secret_file: 'nowhere' }] },
      /clients\[0\]\.client_secret_file names a file that cannot be read \(ENOENT\)/,
    ],
    [{ users: [ada, { ...ada, username: 'ADA' }] }, /users has the same username twice/],
    [
      {
        users: [
          { ...ada, sub: 's' },
          { ...ada, sub: 's', username: 'eve' },
        ],
      },
      /users has the same sub twice/,
    ],
    [
      { clients: [app], users: [{ ...ada, sub: app.client_id }] },
      /users\[0\]\.sub is the client_id of a client/,
    ],
    [{ users: [{ ...ada, username: ' ada' }] }, /users\[0\]\.username begins or ends with a space/],
    [{ users: [{ username: 'ada' }] }, /users\[0\] needs one of password, password_hash, password_file/],
    [{ users: [{ username: 'ada', password: 'short' }] }, /users\[0\]\.password is shorter than 15/],
    [
      { users: [{ username: 'ada', password_file: 'empty' }] },
      /users\[0\]\.password_file is shorter than 15/,
    ],
    [
      { users: [{ username: 'ada', password_hash: 'short' }] },
      /users\[0\]\.password_hash is of no known kind/,
    ],
    [{ users: [{ ...ada, sub: 'a b' }] }, /users\[0\]\.sub is not 1 to 255/],
    [{ users: [{ ...ada, disabled: 1 }] }, /users\[0\]\.disabled must be true or false/],
  ]
  for (const [seed, says] of rows) {
    const { code, stderr } = await check(seed)
    t.match({ code, stderr }, { code: 78, stderr: says })
    t.match(stderr, /^SEED_FILE \S+seed\.json/, 'it names the file')
    t.notOk(
      stderr.includes(SECRET) || stderr.includes(PASSWORD) || stderr.includes('short\n'),
      'and no secret',
    )
  }
  const { stderr } = await check({ clients: [{}], users: [{}] })
  t.ok(stderr.trim().split('\n').length >= 4, 'all at once')
  t.match(await check('{', ['serve']), { code: 78 }, 'before anything is opened')
  const missing = await runHere(['serve'], { SEED_FILE: join(folder, 'nowhere.json') })
  t.match(missing, { code: 78, stderr: /SEED_FILE \S+nowhere\.json cannot be read \(ENOENT\)/ })
})
