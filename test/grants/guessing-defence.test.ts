import t from 'tap'
import { auditEvent, type Deployment, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectProblem, expectUnavailable } from '../support/expect.ts'
import { type Answer, postForm, refresh, signIn } from '../support/http-client.ts'
import { begin, HOME, OFFICE, stranger, tally } from './guesses.ts'

const unlock = async ({ cli }: Deployment, name: string) => cli(['user', 'unlock', name])

for (const kind of STORE_KINDS) {
  t.test(`who guesses, on ${kind}`, async (t) => {
    t.test('is refused when the budget of the account from this network is spent', async (t) => {
      const { deployment, server, from, guess } = await begin(t, kind, { SIGN_IN_FAILURES_PER_ACCOUNT: '3' })
      for (let i = 0; i < 3; i += 1) expectOAuthError(t, await guess(OFFICE), 'invalid_grant')
      const refused = await guess('198.51.100.200')
      expectProblem(t, refused, 429, 'from anywhere in the same network')
      const retryAfter = Number(refused.headers['retry-after'])
      t.ok(retryAfter > 880 && retryAfter <= 900, `Retry-After ${retryAfter}`)
      expectProblem(t, await from(OFFICE), 429, 'the right password is not looked at')
      await auditEvent(server, 'sign_in.throttled', { reason: 'account_network', client_id: 'ada' })
      t.equal((await from(HOME)).status, 200, 'another network has a budget of its own')
      t.match(await unlock(deployment, 'ADA'), { code: 0, stdout: /are forgotten/ })
      t.equal((await from(OFFICE)).status, 200, 'unlocked')
      t.match(await unlock(deployment, 'nobody'), { code: 0, stdout: /No failed sign-in of the account/ })
    })

    t.test('learns nothing of who has an account', async (t) => {
      const { deployment, guess } = await begin(t, kind, {
        SIGN_IN_FAILURES_PER_ACCOUNT: '2',
        SIGN_IN_FAILURES_PER_NETWORK: '7',
      })
      await deployment.addUser('gone', 'password of gone')
      await deployment.cli(['user', 'disable', 'gone'])
      const seen = async (username: string, network: number) => {
        const answers: Answer[] = []
        // One network until it is refused, then others until the account is, then the network by other names.
        for (let i = 0; i < 4; i += 1) answers.push(await guess(stranger(network), username))
        for (let i = 1; i < 14; i += 1) answers.push(await guess(stranger(network + (i >> 1)), username))
        for (let i = 0; i < 6; i += 1) answers.push(await guess(stranger(network), `${username} ${i}`))
        return answers.map(({ status, text, headers: { date: _, 'retry-after': after, ...headers } }) => {
          // The window began at the first failure: by then a second or two are over.
          return { status, text, headers, after: after === undefined ? 0 : Math.round(Number(after) / 100) }
        })
      }
      const known = await seen('ada', 0)
      t.strictSame(await seen('nobody at all', 100), known)
      t.strictSame(await seen('gone', 200), known)
      t.ok(known.some(({ status }) => status === 400) && known.some(({ status }) => status === 429))
    })

    t.test('is one, by however many addresses of an IPv6 network', async (t) => {
      const { from, guess } = await begin(t, kind, {
        SIGN_IN_FAILURES_PER_ACCOUNT: '1',
        SIGN_IN_FAILURES_PER_NETWORK: '2',
      })
      const inside = (i: number) => `2001:db8:7:${i.toString(16)}::9`
      const statuses: number[] = []
      for (let i = 0; i < 8; i += 1) statuses.push((await guess(inside(i))).status)
      t.strictSame(statuses, [400, 400, 400, 400, 400, 429, 429, 429], 'for one account')
      t.equal((await from('2001:db8:8::1')).status, 200, 'she gets in from another')
      const others = await Promise.all(
        Array.from({ length: 40 }, (_, i) => guess(inside(100 + i), `user ${i}`)),
      )
      t.match(tally(others), { wrong: 20 - 5, throttled: 25, other: 0 }, 'for all accounts')
    })

    t.test('at two servers has one budget', async (t) => {
      const { deployment, server, guess } = await begin(t, kind, { SIGN_IN_FAILURES_PER_ACCOUNT: '6' })
      const other = await deployment.startServer()
      const answers: Answer[] = []
      for (let i = 0; i < 12; i += 1) answers.push(await guess(HOME, 'ada', i % 2 ? server : other))
      t.strictSame(
        answers.map(({ status }) => status),
        [...Array(6).fill(400), ...Array(6).fill(429)],
      )
      const atOnce = await Promise.all(
        Array.from({ length: 500 }, (_, i) => guess(OFFICE, 'ada', i % 2 ? server : other)),
      )
      const { wrong, throttled, ...rest } = tally(atOnce)
      t.strictSame(rest, { served: 0, other: 0 })
      // On a very busy machine the store may be too late for one, whose failure is charged all the same, and told to nobody.
      t.ok(wrong > 0 && wrong <= 6, `of five hundred at once ${wrong} get a hash`)
      t.equal(wrong + throttled, 500)
    })
  })

  t.test(`who has the right password, on ${kind}`, async (t) => {
    const { deployment, server, from } = await begin(t, kind, {
      SIGN_IN_FAILURES_PER_ACCOUNT: '2',
      SIGN_IN_FAILURES_PER_NETWORK: '5',
    })
    const other = await deployment.startServer()

    t.test('may use it a hundred times at once', async (t) => {
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => from(HOME, {}, i % 2 ? server : other)),
      )
      t.strictSame(tally(answers), { served: 100, wrong: 0, throttled: 0, other: 0 })
    })

    t.test('is not kept out by colleagues who sign in at the same time', async (t) => {
      const names = Array.from({ length: 30 }, (_, i) => `colleague ${i}`)
      for (const name of names) await deployment.addUser(name, 'password')
      const answers = await Promise.all(
        names.map((username, i) => from(OFFICE, { username, password: 'password' }, i % 2 ? server : other)),
      )
      t.strictSame(tally(answers), { served: 30, wrong: 0, throttled: 0, other: 0 })
    })

    t.test('and mistypes it, has as many tries as ever after', async (t) => {
      const address = '192.0.2.77'
      for (let i = 0; i < 4; i += 1) t.equal((await from(address)).status, 200)
      expectOAuthError(t, await from(address, { password: 'mistyped' }), 'invalid_grant')
      t.equal((await from(address)).status, 200)
      expectOAuthError(t, await from(address, { password: 'mistyped' }), 'invalid_grant')
      expectProblem(t, await from(address), 429, 'a success gives back what it took, and no more')
    })
  })
}

t.test('where the counters cannot be used, nothing is tried uncounted', async (t) => {
  const { deployment, ada, server, ask, from } = await begin(t, 'redis', {})
  const secret = await deployment.addConfidentialClient('machine', { grants: ['client_credentials'] })
  const held = await signIn(server.url, ada)
  // Whoever manages Redis has forgotten them in the rights of its user.
  await deployment.redis?.cli('ACL', 'SETUSER', 'default', 'resetkeys', '~pawl:[^a]*', '~pawl:audit')
  expectUnavailable(t, await ask(HOME), 'the password grant')
  await refresh(server.url, held.refresh_token, { client_id: 'ada' })
  const machine = { grant_type: 'client_credentials', client_id: 'machine', client_secret: secret }
  t.equal((await postForm(`${server.url}/token`, machine)).status, 200, 'client credentials go on')
  await deployment.redis?.cli('ACL', 'SETUSER', 'default', 'allkeys')
  t.equal((await from(HOME)).status, 200, 'and all is well again')
})
