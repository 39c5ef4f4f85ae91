import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import type { Answer } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { HOME, tally } from './guesses.ts'
import { beginHeld, RIGHT } from './held-sign-ins.ts'

/*
 * Sign-ins of which nobody was told what became of them, because their server was killed: they are forgotten.
 */

// They wait for the time that an attempt is pending.
t.jobs = STORE_KINDS.length

/** The time that an attempt is pending at most, and the patience of those who wait for it. */
const LAPSED_MS = 35_000
const UNDER_WAY = 3
const eve = { username: 'eve', password: RIGHT }
const wrong = (i: number) => ({ username: 'eve', password: `guess ${i}` })
const oneToThree = Array.from({ length: UNDER_WAY }, (_, i) => i)

/** Nothing where the server died over it. */
const orDead = (asked: Promise<Answer>): Promise<Answer | undefined> => asked.catch(() => undefined)

for (const kind of STORE_KINDS) {
  t.test(`a server is killed with sign-ins under way, on ${kind}`, async (t) => {
    const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: String(UNDER_WAY) }
    const { deployment, server, ask, from, held, letGo } = await beginHeld(t, kind, budget)
    const asked = Promise.all(oneToThree.map(() => orDead(ask(HOME, eve))))
    await until('all are under way', () => held.length === UNDER_WAY)
    await server.kill()
    t.strictSame(await asked, Array(UNDER_WAY).fill(undefined))

    const next = await deployment.startServer()
    letGo()
    const begun = performance.now()
    t.equal((await from(HOME, eve, next)).status, 200, 'she is never told that she failed too often')
    const ms = performance.now() - begun
    t.ok(ms < LAPSED_MS, `she gets in after ${Math.round(ms)} ms`)
    const mistyped: Answer[] = []
    for (const i of oneToThree) mistyped.push(await from(HOME, wrong(i), next))
    t.strictSame(tally(mistyped), { served: 0, wrong: UNDER_WAY, throttled: 0, other: 0 })
    t.equal((await from(HOME, eve, next)).status, 429, 'and has the budget that she has')
  })

  t.test(`one of two servers is killed while somebody guesses at both, on ${kind}`, async (t) => {
    const BUDGET = 6
    const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: String(BUDGET) }
    const { deployment, server, ask, from, held, letGo, received } = await beginHeld(t, kind, budget)
    const other = await deployment.startServer()
    const atFirst = oneToThree.map((i) => orDead(ask(HOME, wrong(i))))
    await until('some are under way at the one', () => held.length === UNDER_WAY)
    const atBoth = Array.from({ length: 100 }, (_, i) => UNDER_WAY + i).map((i) =>
      i % 2 ? orDead(ask(HOME, wrong(i))) : from(HOME, wrong(i), other),
    )
    await until('the budget is full', () => held.length === BUDGET)
    await server.kill()
    letGo()
    const answers = await Promise.all([...atFirst, ...atBoth])
    // What was under way at the server that died is free again.
    for (let i = 0; i < BUDGET; i += 1) answers.push(await from(HOME, wrong(1000 + i), other))
    const told = tally(answers.flatMap((answer) => answer ?? []))
    t.match(
      told,
      { served: 0, wrong: BUDGET, other: 0 },
      'as many are told that it was wrong as the budget has',
    )
    t.ok(told.throttled > 0)
    const unheard = received.length - BUDGET
    t.ok(unheard >= UNDER_WAY && unheard <= BUDGET, `${unheard} were tried besides, and nobody was told`)
  })
}
