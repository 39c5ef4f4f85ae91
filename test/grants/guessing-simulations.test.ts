import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { auditEvent, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import type { Answer } from '../support/http-client.ts'
import { begin, crowd, HOME, OFFICE, stranger, tally } from './guesses.ts'

/*
 * What strangers with much patience and many networks can do to a service, and to whom.
 */
for (const kind of STORE_KINDS) {
  t.test(`simulations, on ${kind}`, async (t) => {
    t.test('cannot lock anybody out', async (t) => {
      const { deployment, server, from, guess } = await begin(t, kind, {
        SIGN_IN_FAILURES_PER_ACCOUNT: '1',
        SIGN_IN_FAILURE_WINDOW: '600',
      })
      const answers = { home: [] as Answer[] }
      answers.home.push(await from(HOME))
      const first = performance.now()
      let hammering = true
      const atHome = async () => {
        while (hammering) {
          answers.home.push(await from(HOME))
          await sleep(50)
        }
      }
      const owner = atHome()
      // Few networks, again and again.
      const few = await crowd(
        8,
        Array.from({ length: 80 }, (_, i) => stranger(i % 8)),
        (address) => guess(address),
      )
      t.strictSame(tally(few), { served: 0, wrong: 8, throttled: 72, other: 0 })
      t.equal((await from(OFFICE)).status, 200, 'from a fresh network she gets in all along')
      // More networks than the budget has room for newcomers.
      const many = await crowd(
        8,
        Array.from({ length: 120 }, (_, i) => stranger(100 + i)),
        (address) => guess(address),
      )
      t.match(tally(many), { served: 0, wrong: 50 - 8, other: 0 })
      await auditEvent(server, 'sign_in.throttled', { reason: 'account' })
      t.equal((await from(OFFICE)).status, 200, 'what was fresh is known by now')
      const refused = await from('192.0.2.1')
      expectProblem(t, refused, 429, 'now not from a fresh one')
      const waitS = Number(refused.headers['retry-after'])
      t.ok(waitS <= 600, `for ${waitS} s at most`)
      hammering = false
      await owner
      t.match(tally(answers.home), { wrong: 0, throttled: 0, other: 0 }, 'at home she is never refused')
      t.comment(`${answers.home.length} sign-ins from home, ${Math.round(performance.now() - first)} ms`)
      // All was counted within one window. Where windows are shorter, what is left of it is cut to that.
      const next = await deployment.startServer({ SIGN_IN_FAILURE_WINDOW: '5' })
      const still = await from('192.0.2.1', {}, next)
      expectProblem(t, still, 429, 'there neither')
      const waitMs = 1000 * Number(still.headers['retry-after'])
      t.ok(waitMs <= 5000, `for ${waitMs} ms at most`)
      await sleep(waitMs)
      t.equal((await from('192.0.2.1', {}, next)).status, 200, 'after the time that it was told')
    })

    t.test('one network, ten thousand names', async (t) => {
      const { deployment, server, from, guess } = await begin(t, kind, { SIGN_IN_FAILURES_PER_NETWORK: '20' })
      t.equal((await from(OFFICE)).status, 200)
      await deployment.addUser('new', 'password of new')
      const names = Array.from({ length: 10_000 }, (_, i) => `user ${i}`)
      const answers = await crowd(64, names, (name) => guess(OFFICE, name))
      t.strictSame(tally(answers), { served: 0, wrong: 20, throttled: 9980, other: 0 })
      await auditEvent(server, 'sign_in.throttled', { reason: 'network' })
      t.equal((await from(OFFICE)).status, 200, 'who signed in from there before still does')
      const newcomer = { username: 'new', password: 'password of new' }
      expectProblem(t, await from(OFFICE, newcomer), 429, 'who did not, has to wait')
      t.equal((await from(HOME, newcomer)).status, 200, 'or to come from elsewhere')
    })

    t.test('a thousand networks, a few tries each', async (t) => {
      const { server, from, guess } = await begin(t, kind, { SIGN_IN_FAILURES_IN_TOTAL: '8' })
      t.equal((await from(HOME)).status, 200)
      const tries = Array.from({ length: 3000 }, (_, i) => i)
      const answers = await crowd(64, tries, (i) => guess(stranger(i % 1000), `user ${i}`))
      t.match(tally(answers), { served: 0, wrong: 80, other: 0 })
      await auditEvent(server, 'sign_in.throttled', { reason: 'total' })
      t.equal((await from(HOME)).status, 200, 'from home as ever')
      expectProblem(t, await from('192.0.2.1'), 429, 'not from a fresh network, until the window ends')
    })
  })
}
