import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import {
  ask,
  basic,
  type Form,
  type Headers,
  inTheEnd,
  postForm,
  refresh,
  sendRaw,
  signIn,
  type Tokens,
  tryRefresh,
} from '../support/http-client.ts'
import { type CliResult, runCli } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { respond, startReceiver } from '../support/webhook-receiver.ts'

/** Secrets that were driven through the program, and what each of them looks like wherever it might turn up. */
class Canaries {
  readonly #spellings = new Map<string, string>()

  /** Draws one that nothing else can contain. */
  draw(name: string): string {
    return this.add(name, `cny${randomBytes(12).toString('hex')}`)
  }

  add(name: string, secret: string): string {
    const octets = Buffer.from(secret)
    this.#spellings.set(name, secret)
    this.#spellings.set(`${name}, form-encoded`, encodeURIComponent(secret))
    this.#spellings.set(`${name}, in base64`, octets.toString('base64').replace(/=+$/, ''))
    this.#spellings.set(`${name}, in hex`, octets.toString('hex'))
    return secret
  }

  addTokens({ access_token, refresh_token }: Tokens): void {
    const octets = Buffer.from(refresh_token.slice('prt_'.length), 'base64url')
    const id = this.#spellings.size
    this.#spellings.set(`refresh token ${id}`, refresh_token)
    this.#spellings.set(`refresh token ${id}, bare`, refresh_token.slice(4))
    this.#spellings.set(`refresh token ${id}, its MAC`, refresh_token.slice(-40))
    this.#spellings.set(`handle ${id}`, octets.toString('hex', 14, 30))
    this.#spellings.set(`handle ${id}, base64url`, octets.toString('base64url', 14, 30).slice(0, -1))
    this.#spellings.set(`handle ${id}, in the token`, refresh_token.slice(4 + 19, 4 + 40))
    const [, payload = '', signature = ''] = access_token.split('.')
    this.#spellings.set(`access token ${id}`, payload)
    this.#spellings.set(`access token ${id}, its signature`, signature)
  }

  /** The names of all that are in the text. */
  foundIn(text: string): string[] {
    return [...this.#spellings].filter(([, spelling]) => text.includes(spelling)).map(([name]) => name)
  }
}

for (const kind of STORE_KINDS) {
  t.test(`no secret in any log line, on ${kind}`, async (t) => {
    const canaries = new Canaries()
    const storePassword = canaries.draw('the store’s password')
    const [elsewhere, auditor] = [await startReceiver(t), await startReceiver(t)]
    elsewhere.answer = (_, response) => respond(response, { result: 'unknown' })
    for (const { secret } of [elsewhere, auditor])
      canaries.add('a webhook’s secret', secret.slice('whsec_'.length))
    const deployment = await deploy(t, kind, {
      env: {
        LOG_LEVEL: 'trace',
        VERIFY_WEBHOOK_URL: elsewhere.url,
        VERIFY_WEBHOOK_SECRET: elsewhere.secret,
        AUDIT_WEBHOOK_URL: auditor.url,
        AUDIT_WEBHOOK_SECRET: auditor.secret,
      },
      redis: { password: storePassword, aof: 'always' },
    })
    const { redis, env } = deployment
    const fromCli: CliResult[] = []
    const cli = async (args: string[], stdin?: string) => {
      const result = await deployment.cli(args, stdin)
      fromCli.push(result)
      return result
    }

    const password = canaries.draw('password')
    t.equal(
      (await cli(['user', 'add', 'ada', '--password-stdin'], `${canaries.draw('first password')}\n`)).code,
      0,
    )
    t.equal((await cli(['user', 'set-password', 'ada', '--password-stdin'], password)).code, 0)
    await deployment.addClient('public', { scopes: ['read'] })
    await deployment.addClient('strict', { scopes: ['read'], refreshTokenGrace: 0 })
    const server = await deployment.startServer()
    const { url, managementUrl, port } = server

    // These two print the secret, as they should: on stdout, and nowhere else.
    const added = await deployment.cli([
      'client',
      'add',
      'web',
      '--confidential',
      '--scope',
      'read',
      '--json',
    ])
    canaries.add('the first client secret', JSON.parse(added.stdout).client_secret)
    const rotated = await deployment.cli(['client', 'rotate-secret', 'web', '--json'])
    const secret = canaries.add('client secret', JSON.parse(rotated.stdout).client_secret)
    canaries.add('Authorization', basic('web', secret).authorization.slice('Basic '.length))
    fromCli.push({ ...added, stdout: '' }, { ...rotated, stdout: '' })

    const account = { client_id: 'public', username: 'ada', password }
    const tell = (form: Form, headers?: Headers, query = '') =>
      postForm(`${url}/token${query}`, form, headers)
    const passwordForm = { grant_type: 'password', ...account }

    t.test('success, and every refusal of a refresh', async (t) => {
      const viaBasic = await inTheEnd(() =>
        tell({ grant_type: 'password', username: 'ada', password }, basic('web', secret)),
      )
      const viaBody = await inTheEnd(() => tell({ ...passwordForm, client_id: 'web', client_secret: secret }))
      t.match([viaBasic.status, viaBody.status], [200, 200])
      for (const { json } of [viaBasic, viaBody]) canaries.addTokens(json as unknown as Tokens)

      for (const client_id of ['public', 'strict']) {
        const g0 = await signIn(url, { ...account, client_id })
        const g1 = await refresh(url, g0.refresh_token, { client_id })
        const g2 = await refresh(url, g1.refresh_token, { client_id, scope: 'read' })
        for (const tokens of [g0, g1, g2]) canaries.addTokens(tokens)
        const { refresh_token } = g2
        await tryRefresh(url, refresh_token, { client_id: 'web' })
        await tryRefresh(url, refresh_token, {}, basic('web', secret))
        await tryRefresh(url, refresh_token, { client_id, scope: canaries.draw('scope') })
        await tryRefresh(url, refresh_token, { client_id, client_secret: canaries.draw('needless secret') })
        await tryRefresh(url, `${refresh_token}x`, { client_id })
        await tryRefresh(url, canaries.draw('junk token'), { client_id })
        await tryRefresh(url, `prt_${canaries.draw('junk token with a prefix')}`, { client_id })
        await tell({ grant_type: 'refresh_token', client_id, refresh_token: '', x: refresh_token })
        for (const inspected of client_id === 'strict'
          ? []
          : [
              refresh_token,
              g0.refresh_token,
              g2.access_token,
              `${g2.access_token}x`,
              canaries.draw('no token'),
            ]) {
          await cli(['token', 'inspect', inspected, '--json'])
        }
        await cli(['token', 'inspect', '-'], refresh_token)
        await refresh(url, g1.refresh_token, { client_id }).catch(() => {})
        await tryRefresh(url, g0.refresh_token, { client_id })
        await tryRefresh(url, refresh_token, { client_id })
      }
    })

    t.test('every refusal of a sign-in', async () => {
      const other = (name: string) => ({ ...passwordForm, [name]: canaries.draw(`wrong ${name}`) })
      for (const name of ['username', 'password', 'client_id', 'client_secret', 'grant_type', 'scope'])
        await tell(other(name))
      await tell({ ...other('password'), [canaries.draw('a name')]: canaries.draw('a value') })
      await tell(passwordForm, basic('web', canaries.draw('wrong Basic secret')))
      await tell(passwordForm, basic(canaries.draw('unknown Basic client'), 'x'))
      await tell({ ...passwordForm, client_secret: secret }, basic('web', secret))
      await tell({ ...passwordForm, client_id: 'public' }, basic('web', secret))
      for (const scheme of ['Bearer ', 'Basic ', 'Basic !', '']) {
        await tell(passwordForm, { authorization: scheme + canaries.draw(`Authorization ${scheme}`) })
      }
      await tell(`${passwordForm.grant_type}&password=${password}&password=${password}`)
      await tell(`password=${password}&${canaries.draw('a bad escape')}=%zz`)
      await tell(passwordForm, {
        cookie: `session=${canaries.draw('cookie')}`,
        'x-any': canaries.draw('header'),
      })
    })

    t.test('users who live elsewhere', async (t) => {
      const other = {
        ...passwordForm,
        username: 'elsewhere',
        password: canaries.draw('password of elsewhere'),
      }
      const answers: (typeof elsewhere.answer)[] = [
        (_, response) => respond(response, { result: 'ok', sub: 'elsewhere' }),
        ({ json }, response) => respond(response, { result: 'denied', reason: json.password }),
        ({ body }, response) => response.writeHead(500, { 'x-body': encodeURIComponent(body) }).end(body),
        ({ body }, response) => response.end(`<html>${body}`),
        ({ json }, response) => respond(response, { result: json.password }),
        ({ json }, response) => respond(response, { result: 'ok', sub: `${json.password} ${json.username}` }),
        ({ json }, response) => respond(response, { result: 'ok', sub: 'x', claims: json.password }),
        ({ json }, response) =>
          response.writeHead(302, { location: `${elsewhere.url}?${String(json.password)}` }).end(),
        (_, response) => response.destroy(),
        (_, response) => respond(response, { result: 'ok', sub: 'elsewhere', store: true }),
      ]
      const statuses: number[] = []
      for (const answer of answers) {
        elsewhere.answer = answer
        const told = await inTheEnd(() => tell(other))
        statuses.push(told.status)
        if (told.status === 200) canaries.addTokens(told.json as unknown as Tokens)
        else t.strictSame(canaries.foundIn(JSON.stringify([told.headers, told.text])), [], 'the answer')
      }
      t.strictSame(statuses, [200, 400, 503, 503, 503, 503, 503, 503, 503, 200])
      elsewhere.answer = (_, response) => respond(response, { result: 'unknown' })
      await cli(['user', 'list', '--json'])
      await cli(['audit', 'list'])
      await cli(['audit', 'list', '--json'])
      t.match(fromCli.at(-1)?.stdout, /"sub":"elsewhere"/, 'there is a trail to search')
    })

    t.test('what is no request of ours', async () => {
      const query = () =>
        `?password=${canaries.draw('query password')}&refresh_token=${canaries.draw('query token')}`
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS']) {
        for (const path of [
          '/token',
          '/.well-known/jwks.json',
          `/${canaries.draw('path')}`,
          `/%zz${canaries.draw('bad path')}`,
        ]) {
          await ask(`${url}${path}${query()}`, {
            method,
            headers: { authorization: `Bearer ${canaries.draw('stray bearer')}` },
          })
        }
        await ask(`${managementUrl}/health/ready${query()}`, {
          method,
          headers: { cookie: canaries.draw('stray cookie') },
        })
      }
      const body = JSON.stringify({ password: canaries.draw('JSON password') })
      await tell(body, { 'content-type': 'application/json' })
      await tell(body, { 'content-type': canaries.draw('content type') })
      await tell(`password=${canaries.draw('large password')}&x=${'x'.repeat(20_000)}`)
      await tell(
        { ...passwordForm, password: canaries.draw('with large headers') },
        { 'x-large': 'x'.repeat(20_000) },
      )
      for (const raw of [
        'POST /token HTTP/9.9',
        'garbage',
        'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: x',
        'GET / HTTP/1.1',
      ]) {
        await sendRaw(port, `${raw}\r\nConnection: close\r\nX: ${canaries.draw('raw')}\0\r\n\r\n`)
      }
    })

    t.test('commands that are wrong', async (t) => {
      for (const args of [
        ['user', 'add', 'eve', canaries.draw('a password as an operand')],
        ['user', 'add', 'eve', '--password', canaries.draw('a password as an option')],
        ['user', 'add', 'eve', `--password=${canaries.draw('a password as an option with =')}`],
        ['user', 'set-password', 'ada', '-p', canaries.draw('a password as a short option')],
        ['client', 'add', 'new', '--confidential', '--secret', canaries.draw('a secret as an option')],
        ['token', 'inspect', canaries.draw('one token'), canaries.draw('another token')],
        ['session', 'revoke', canaries.draw('a token for an id')],
      ]) {
        t.not((await cli(args)).code, 0, args.slice(0, 2).join(' '))
      }
      await cli(
        ['user', 'add', 'ada', '--password-stdin'],
        canaries.draw('the password of a name that is taken'),
      )
      await cli(
        ['user', 'set-password', 'nobody', '--password-stdin'],
        canaries.draw('the password of nobody'),
      )
    })

    const wrongConfigurations = async (t: Test) => {
      const file = join(deployment.cwd, 'store-url')
      writeFileSync(file, `redis://:${canaries.draw('a password in a file')}@127.0.0.1:notaport`)
      const unreachable = `redis://user:${canaries.draw('an unreachable store’s password')}@127.0.0.1:1`
      const rows: [Record<string, string>, string[], number][] = [
        [
          { STORE_URL: `redis://:${canaries.draw('a password in a bad URL')}@127.0.0.1:notaport` },
          ['serve'],
          78,
        ],
        [
          { STORE_URL: `postgres://u:${canaries.draw('a password of another scheme')}@127.0.0.1` },
          ['serve'],
          78,
        ],
        [{ STORE_URL: '', STORE_URL_FILE: file }, ['serve'], 78],
        [{ ISSUER: `https://user:${canaries.draw('a password in the issuer')}@host` }, ['serve'], 78],
        [{ STORE_URL: unreachable }, ['serve', '--check-config'], 0],
        [{ VERIFY_WEBHOOK_SECRET: canaries.draw('a bad webhook secret') }, ['serve'], 78],
        [
          { AUDIT_WEBHOOK_URL: `https://user:${canaries.draw('a password in a webhook’s address')}@host` },
          ['serve'],
          78,
        ],
        [
          {
            STORE_URL: `redis-sentinel://:${canaries.draw('p')}@h:1/n?sentinel_password=${canaries.draw('s')}`,
          },
          ['serve', '--check-config'],
          0,
        ],
        [{ STORE_URL: unreachable }, ['user', 'list'], 1],
      ]
      for (const [more, args, code] of rows) {
        const { STORE_URL: text, ...rest } = { ...env, ...more }
        const result = await runCli(args, {
          env: text === '' ? rest : { ...rest, STORE_URL: text ?? '' },
          cwd: deployment.cwd,
        })
        t.equal(result.code, code, result.stderr)
        fromCli.push(result)
      }
    }
    // They do not get as far as a store, so that once is enough.
    if (!redis) t.test('configurations that are wrong', wrongConfigurations)

    if (redis) {
      t.test('a store that fails in several ways', async (t) => {
        const held = await signIn(url, account)
        canaries.addTokens(held)
        const all = () =>
          Promise.all([
            tell(passwordForm),
            tell({ ...passwordForm, client_id: 'web', client_secret: secret }),
            tell(passwordForm, basic('web', secret)),
            tryRefresh(url, held.refresh_token, { client_id: 'public' }),
            tryRefresh(url, held.refresh_token, { client_id: 'public', scope: 'read' }),
          ])
        redis.pause()
        await all()
        redis.resume()
        await redis.kill()
        await all()
        await redis.restart()
        await until('it is ready', async () => (await ask(`${managementUrl}/health/ready`)).status === 200)

        await redis.cli('CONFIG', 'SET', 'maxmemory', '1')
        await all()
        await redis.cli('CONFIG', 'SET', 'maxmemory', '0')

        const keys = (await redis.cli('KEYS', 'pawl:f:*')) as string[]
        const admin = redis.client()
        t.teardown(() => admin.disconnect())
        for (const key of keys) await admin.multi().del(key).hset(key, 'no', 'string').exec()
        await admin.hset('pawl:c:web', 'scopes', 'no JSON')
        await new Promise((resolve) => setTimeout(resolve, 600))
        const broken = await tell({ grant_type: 'password', username: 'ada', password }, basic('web', secret))
        expectProblem(t, broken, 503, 'a record that cannot be read')
        expectProblem(
          t,
          await tryRefresh(url, held.refresh_token, { client_id: 'public' }),
          503,
          'a key of another type',
        )

        await redis.cli('CONFIG', 'SET', 'requirepass', 'another')
        await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        await until(
          'it is not ready',
          async () => (await ask(`${managementUrl}/health/ready`)).status === 503,
        )
        await all()
        fromCli.push(await deployment.cli(['user', 'list']))
        t.equal(fromCli.at(-1)?.code, 1)
      })
    }

    t.test('the search', async (t) => {
      await server.stop()
      const keysDir = String(env.KEYS_DIR)
      for (const name of readdirSync(keysDir, { recursive: true, encoding: 'utf8' })) {
        const path = join(keysDir, name)
        if (!statSync(path).isFile() || name.endsWith('active')) continue
        const lines = readFileSync(path, 'utf8')
          .split('\n')
          .filter((line) => /^[\w+/=-]{40,}$/.test(line))
        for (const [i, line] of lines.entries()) canaries.add(`line ${i} of ${name}`, line)
      }
      const log = server.lines.join('\n')
      t.ok(
        server.lines.filter((line) => line.includes('"msg":"request"')).length > 50,
        'there is a log to search',
      )
      t.strictSame(canaries.foundIn(log), [], 'the log')
      t.strictSame(canaries.foundIn(server.stderr), [], 'stderr of the server')
      t.ok(auditor.received.length > 20, 'there are delivered events to search')
      for (const { body } of auditor.received) t.strictSame(canaries.foundIn(body), [], 'a delivered event')
      for (const { stdout, stderr } of fromCli) {
        t.strictSame(canaries.foundIn(stdout), [], 'stdout of a command')
        t.strictSame(canaries.foundIn(stderr), [], 'stderr of a command')
      }
      t.strictSame(
        canaries.foundIn(`x${encodeURIComponent(password)}x`).includes('password'),
        true,
        'the search finds',
      )
    })
  })
}
