import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { open } from 'lmdb'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { userLocator, usernameKey, withoutAccess, withoutSessions } from '../../src/accounts/user.ts'
import { openDatabases } from '../../src/stores/lmdb/store.ts'
import { USERNAMES_KEY } from '../../src/stores/redis/keys.ts'
import {
  auditEvent,
  auditEvents,
  type Deployment,
  deploy,
  STORE_KINDS,
  type StoreKind,
} from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import {
  type Answer,
  claimsOf,
  postForm,
  refresh,
  type Tokens,
  tokensOf,
  tryRefresh,
} from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { newWebhookSecret, type Received, respond, startReceiver } from '../support/webhook-receiver.ts'

/** A directory of its own, as the receiver of the webhook would have it: what each name's answer is. */
type Elsewhere = Map<string, Readonly<Record<string, unknown>>>

async function setUp(t: Test, kind: StoreKind) {
  const deployment = await deploy(t, kind)
  const receiver = await startReceiver(t)
  const elsewhere: Elsewhere = new Map()
  const fromElsewhere: typeof receiver.answer = ({ json }, response) =>
    respond(response, elsewhere.get(String(json.username).toLowerCase()) ?? { result: 'unknown' })
  receiver.answer = fromElsewhere
  await deployment.addClient('web', { scopes: ['read'] })
  const env = { VERIFY_WEBHOOK_URL: receiver.url, VERIFY_WEBHOOK_SECRET: receiver.secret }
  const server = await deployment.startServer(env)
  const tell = (username: string, password = `password of ${username}`, to: ServerProcess = server) =>
    postForm(`${to.url}/token`, { grant_type: 'password', client_id: 'web', username, password })
  return {
    deployment,
    receiver,
    elsewhere,
    fromElsewhere,
    env,
    server,
    tell,
    signIn: async (...args: Parameters<typeof tell>) => tokensOf(await tell(...args)),
    /** How often the receiver was asked about this name. */
    timesAsked: (username: string) =>
      receiver.received.filter(({ json }) => json.username === username).length,
  }
}

/** As a server that died while it renamed the user would. */
async function leaveBehind({ redis, cwd }: Deployment, username: string, sub: string): Promise<void> {
  const name = usernameKey(username)
  if (redis) {
    await redis.cli('HSET', USERNAMES_KEY, name, sub)
  } else {
    const root = open({ path: join(cwd, 'data'), noSubdir: false, maxDbs: 16, overlappingSync: false })
    await openDatabases(root).usernames.put(name, userLocator(sub))
    await root.close()
  }
}

const subOf = (tokens: Tokens) => claimsOf(tokens.access_token).sub
const client = { client_id: 'web' }

for (const kind of STORE_KINDS) {
  t.test(`the verify webhook, on ${kind}`, async (t) => {
    const { deployment, receiver, elsewhere, fromElsewhere, server, tell, signIn, timesAsked } = await setUp(
      t,
      kind,
    )
    const { cli } = deployment
    const ok = (sub: string, more = {}) => ({ result: 'ok', sub, ...more })
    const done = async (t: Test, ...args: string[]) => t.equal((await cli(args)).code, 0, args.join(' '))
    const continues = async ({ refresh_token }: Tokens) =>
      (await tryRefresh(server.url, refresh_token, client)).status === 200
    const isRefused = async (t: Test, username: string, message: string, password?: string) =>
      expectOAuthError(t, await tell(username, password), 'invalid_grant', message)

    t.test('what is sent, as an independent implementation verifies it', async (t) => {
      elsewhere.set('sent', ok('sent'))
      await tell('sent', 'päss "word"')
      const { headers, body } = receiver.received.at(-1) as Received
      const verified = new Webhook(receiver.secret).verify(body, headers as Record<string, string>)
      t.strictSame(verified, { username: 'sent', password: 'päss "word"', client_id: 'web' })
      t.match(headers, {
        'content-type': 'application/json',
        'user-agent': /^pawl\/\d/,
        'webhook-id': /^msg_/,
      })
      const other = new Webhook(newWebhookSecret())
      t.throws(() => other.verify(body, headers as Record<string, string>), 'by its own secret alone')
    })

    t.test('ok: a session like any other, with the sub and the claims of elsewhere', async (t) => {
      elsewhere.set('ada', ok('staff|1', { claims: { roles: ['admin'], level: { of: 3 } } }))
      const first = await signIn('ada')
      t.match(claimsOf(first.access_token), { sub: 'staff|1', roles: ['admin'], level: { of: 3 } })
      const second = await refresh(server.url, first.refresh_token, client)
      t.match(claimsOf(second.access_token), { sub: 'staff|1', roles: ['admin'] })
      await auditEvent(server, 'user.created', { sub: 'staff|1', actor: 'server', reason: 'verify webhook' })
      await auditEvent(server, 'sign_in.succeeded', { sub: 'staff|1', actor: 'client' })

      t.equal(subOf(await signIn('ADA')), 'staff|1', 'by another spelling')
      await signIn('ada')
      t.equal(timesAsked('ada'), 2, 'the password is not kept: each sign-in asks')
      t.strictSame(
        auditEvents(server).filter(({ event, sub }) => event === 'user.changed' && sub === 'staff|1'),
        [],
        'and nothing is written that is there already',
      )
      elsewhere.set('ada', ok('staff|1', { claims: { roles: [] } }))
      t.strictSame(claimsOf((await signIn('ada')).access_token).roles, [], 'claims follow at a sign-in')
      const third = await refresh(server.url, second.refresh_token, client)
      t.strictSame(claimsOf(third.access_token).roles, [], 'also in the sessions that are there')
      elsewhere.set('ada', ok('staff|1'))
      t.strictSame(claimsOf((await signIn('ada')).access_token).roles, [], 'no claims say nothing of them')

      await signIn('sent')
      const clash = await cli(['client', 'add', 'sent', '--public'])
      t.match(clash, { code: 1, stderr: /A user has the sub "sent", .*take another ID/ })
    })

    t.test('denied and unknown: the answer to a wrong password', async (t) => {
      elsewhere.set('denied', { result: 'denied' })
      await deployment.addUser('here', 'password of here')
      const shape = ({ status, headers: { date: _, ...headers }, text }: Answer) => ({
        status,
        headers,
        text,
      })
      const wrong = await tell('here', 'wrong')
      expectOAuthError(t, wrong, 'invalid_grant')
      for (const name of ['denied', 'unknown']) {
        t.strictSame(shape(await tell(name)), shape(wrong), name)
        t.ok(await auditEvent(server, 'sign_in.failed', { reason: `the verify webhook says ${name}` }))
        t.equal(timesAsked(name), 1)
      }
      t.equal(
        await deployment.withStore((store) => store.users.findByUsername('denied')),
        undefined,
        'no record',
      )
    })

    t.test('who has a password here is verified here', async (t) => {
      await deployment.addUser('local', 'password of local')
      elsewhere.set('local', ok('intruder'))
      t.match(subOf(await signIn('local')), /^usr_/)
      await isRefused(t, 'local', 'a wrong password is not tried elsewhere', 'wrong')
      t.equal(timesAsked('local'), 0)
      await isRefused(t, 'a\tb', 'nor is what can be no name')
      t.equal(timesAsked('a\tb'), 0)
    })

    t.test('the commands act on such a user', async (t) => {
      elsewhere.set('eve', ok('staff|eve'))
      let held = await signIn('eve')
      await done(t, 'user', 'disable', 'eve')
      t.notOk(await continues(held), 'disabled: sessions end')
      await isRefused(t, 'eve', 'and the webhook cannot help it')
      t.ok(await auditEvent(server, 'sign_in.failed', { reason: 'the user is disabled', sub: 'staff|eve' }))
      await done(t, 'user', 'enable', 'eve')
      held = await signIn('eve')
      await done(t, 'session', 'revoke', '--user', 'eve')
      t.notOk(await continues(held), 'signed out')
      held = await signIn('eve')
      await done(t, 'user', 'delete', 'eve')
      t.notOk(await continues(held), 'deleted: sessions end')
      t.equal(subOf(await signIn('eve')), 'staff|eve', 'the next sign-in makes the record anew')
      const asked = timesAsked('eve')
      t.equal(
        (await cli(['user', 'set-password', 'eve', '--password-stdin'], 'a password from here on')).code,
        0,
      )
      t.equal(subOf(await signIn('eve', 'a password from here on')), 'staff|eve', 'given a password here')
      await isRefused(t, 'eve', 'the one of elsewhere does not count any more')
      t.equal(timesAsked('eve'), asked, 'and is not asked for')
    })

    t.test('store: the next sign-in needs no webhook', async (t) => {
      elsewhere.set('mig', ok('mig', { store: true }))
      const held = await signIn('mig')
      t.equal(subOf(await signIn('mig')), 'mig')
      t.equal(timesAsked('mig'), 1)
      await isRefused(t, 'mig', 'a wrong password', 'wrong')
      t.equal(timesAsked('mig'), 1)
      elsewhere.set('later', ok('later'))
      const before = await signIn('later')
      elsewhere.set('later', ok('later', { store: true }))
      await signIn('later')
      await signIn('later')
      t.equal(timesAsked('later'), 2)
      t.strictSame([await continues(held), await continues(before)], [true, true], 'no session ends by it')
      const kept = await until('the audit event', () =>
        auditEvents(server).find(({ event, sub }) => event === 'user.changed' && sub === 'later'),
      )
      t.strictSame(kept.changed, ['passwordHash'])
    })

    t.test('twenty first sign-ins at once are one user', async (t) => {
      for (const more of [{}, { store: true }]) {
        const name = `many ${JSON.stringify(more)}`
        elsewhere.set(name.toLowerCase(), ok(`many-${'store' in more}`, more))
        const all = await Promise.all(Array.from({ length: 20 }, () => signIn(name)))
        t.equal(new Set(all.map(subOf)).size, 1)
        t.notOk((await Promise.all(all.map(continues))).includes(false), 'each with a session that lives')
      }
    })

    t.test('a sub under another name: the record takes the name', async (t) => {
      elsewhere.set('maiden', ok('bride'))
      const held = await signIn('maiden')
      elsewhere.delete('maiden')
      elsewhere.set('married', ok('bride'))
      t.equal(subOf(await signIn('married')), 'bride')
      t.ok(await continues(held), 'the sessions live')
      await isRefused(t, 'maiden', 'the old name')
      const find = (name: string) => deployment.withStore((store) => store.users.findByUsername(name))
      t.match(await find('married'), { sub: 'bride', username: 'married' })
      t.equal(await find('maiden'), undefined)
    })

    t.test('a name under another sub: the one before is called by the sub', async (t) => {
      elsewhere.set('desk', ok('first-holder'))
      const held = await signIn('desk')
      elsewhere.set('desk', ok('next-holder'))
      t.equal(subOf(await signIn('desk')), 'next-holder')
      t.ok(await continues(held), 'whose sessions live')
      t.match((await cli(['user', 'list'])).stdout, /^first-holder +first-holder /m)
      await done(t, 'user', 'disable', 'first-holder')
      elsewhere.set('desk 2', ok('first-holder'))
      await isRefused(t, 'desk 2', 'and who stays disabled, by whatever name')
    })

    t.test('a name that a renaming left behind goes to its next owner', async (t) => {
      elsewhere.set('mover', ok('mover-sub'))
      const held = await signIn('mover')
      await leaveBehind(deployment, 'left behind', 'mover-sub')
      elsewhere.set('left behind', ok('successor'))
      t.equal(subOf(await signIn('left behind')), 'successor')
      t.ok(await continues(held), 'and the one before keeps the sessions')
      t.equal(subOf(await signIn('mover')), 'mover-sub', 'and the name')
    })

    t.test('an account that changes while the webhook is asked', async (t) => {
      elsewhere.set('slow', ok('slow'))
      await signIn('slow')
      for (const ending of [withoutSessions, withoutAccess]) {
        receiver.answer = async (received, response) => {
          await deployment.withStore(async ({ users }) => {
            const user = await users.find('slow')
            if (user) await users.change('slow', ending(user))
          })
          fromElsewhere(received, response)
        }
        if (ending === withoutAccess) await isRefused(t, 'slow', 'disabled')
        else expectProblem(t, await tell('slow'), 503, 'signed out: who asks again is told')
      }
      receiver.answer = fromElsewhere
    })

    t.test('an answer that is none: 503, and never invalid_grant', async (t) => {
      const rows: [name: string, answer: typeof receiver.answer, detail: RegExp][] = [
        ['500', (_, response) => respond(response, ok('x'), 500), /status 500/],
        ['401', (_, response) => respond(response, { result: 'denied' }, 401), /status 401/],
        ['201', (_, response) => respond(response, ok('x'), 201), /status 201/],
        [
          'a redirect',
          (_, response) => response.writeHead(307, { location: `${receiver.url}?again` }).end(),
          /status 307/,
        ],
        ['garbage', (_, response) => response.end('<html>'), /no JSON/],
        ['nothing', (_, response) => response.end(), /no JSON/],
        ['a list', (_, response) => respond(response, [ok('x')]), /no JSON object/],
        [
          'broken UTF-8',
          (_, response) => response.end(Buffer.from('{"result":"\xff"}', 'latin1')),
          /not UTF-8/,
        ],
        [
          'huge',
          (_, response) => respond(response, ok('x', { claims: { x: 'x'.repeat(20_000) } })),
          /too large/,
        ],
        ['another result', (_, response) => respond(response, { result: 'OK', sub: 'x' }), /a result/],
        ['no sub', (_, response) => respond(response, { result: 'ok' }), /without a sub/],
        ['a sub of spaces', (_, response) => respond(response, ok('a b')), /a sub that/],
        ['an empty sub', (_, response) => respond(response, ok('')), /a sub that/],
        ['a long sub', (_, response) => respond(response, ok('x'.repeat(256))), /a sub that/],
        ['a client’s sub', (_, response) => respond(response, ok('web')), /identifier of a client/],
        [
          'reserved claims',
          (_, response) => respond(response, ok('x', { claims: { scope: 'all' } })),
          /claims/,
        ],
        ['claims that are none', (_, response) => respond(response, ok('x', { claims: ['x'] })), /claims/],
        ['a store that is none', (_, response) => respond(response, ok('x', { store: 'yes' })), /a store/],
        ['a cut connection', (_, response) => response.destroy(), /verify webhook: /],
        [
          'half an answer',
          (_, response) => response.writeHead(200, { 'content-length': 99 }).end('{'),
          /verify/,
        ],
      ]
      for (const [name, answer, detail] of rows) {
        receiver.answer = answer
        const told = await tell('odd')
        expectProblem(t, told, 503, name)
        t.match(told.headers['retry-after'], /^[1-9]\d*$/, name)
        await until(`the log says ${detail}`, () =>
          server.lines.some((line) => line.includes('verify webhook: ') && detail.test(line)),
        )
      }
      const asked = timesAsked('odd')
      t.equal(asked, rows.length, 'a redirect is not followed, and nothing is asked twice')
      receiver.answer = fromElsewhere
      t.equal(await deployment.withStore((store) => store.users.findByUsername('odd')), undefined)
    })

    t.test('a receiver that is down is left alone, and taken up again', async (t) => {
      elsewhere.set('patient', ok('patient'))
      await signIn('patient')
      receiver.answer = () => undefined
      const slow = await Promise.all(Array.from({ length: 5 }, () => tell('patient')))
      for (const answer of slow) expectProblem(t, answer, 503, 'no answer')
      t.ok(
        slow.every(({ ms }) => ms > 1900 && ms < 8000),
        `after two seconds: ${slow.map(({ ms }) => Math.round(ms))}`,
      )
      await until('the log says so', () =>
        server.lines.some((line) => line.includes('"verify_webhook":"fails"')),
      )

      receiver.answer = fromElsewhere
      const asked = timesAsked('patient')
      const during = await tell('patient')
      expectProblem(t, during, 503, 'at once')
      t.ok(Number(during.headers['retry-after']) <= 5)
      t.equal(timesAsked('patient'), asked, 'it is not asked')
      t.equal((await tell('here')).status, 200, 'who has a password here is not concerned')

      await sleep(5000)
      receiver.answer = (_, response) => response.writeHead(503).end()
      expectProblem(t, await tell('patient'), 503, 'one tries, and fails')
      receiver.answer = fromElsewhere
      expectProblem(t, await tell('patient'), 503, 'so it goes on')
      t.equal(timesAsked('patient'), asked + 1)
      await until('it is asked again', async () => (await tell('patient')).status === 200)
      await until('the log says so', () =>
        server.lines.some((line) => line.includes('"verify_webhook":"answers"')),
      )
      t.equal((await tell('patient')).status, 200)
    })
  })
}
