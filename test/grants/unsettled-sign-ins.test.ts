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
const BUDGET = 6
const UNDER_WAY = 3
const GUESSES = 40

const eve = { username: 'eve', password: RIGHT }
const wrong = (username: string, i: number) => ({ username, password: `guess ${i}` })
const numbers = (length: number) => Array.from({ length }, (_, i) => i)

/** Nothing where the server died over it. */
const orDead = (asked: Promise<Answer>): Promise<Answer | undefined> => asked.catch(() => undefined)

for (const kind of STORE_KINDS) {
  t.test(`one of two servers is killed with sign-ins under way, on ${kind}`, async (t) => {
    const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: String(BUDGET) }
    const { deployment, server, ask, from, held, letGo, received } = await beginHeld(t, kind, budget)
    const other = await deployment.startServer()
    const hers = numbers(BUDGET).map(() => orDead(ask(HOME, eve)))
    const guessed = numbers(UNDER_WAY).map((i) => orDead(ask(HOME, wrong('bob', i))))
    await until('these are under way at the one', () => held.length === BUDGET + UNDER_WAY)
    for (const i of numbers(GUESSES)) {
      const guess = wrong('bob', UNDER_WAY + i)
      guessed.push(i % 2 ? orDead(ask(HOME, guess)) : from(HOME, guess, other))
    }
    await until('both budgets are full', () => held.length === 2 * BUDGET)
    await server.kill()
    letGo()
    t.strictSame(await Promise.all(hers), Array(BUDGET).fill(undefined))

    const whoseServerDied = async () => {
      const begun = performance.now()
      t.equal((await from(HOME, eve, other)).status, 200, 'she is never told that she failed too often')
      const ms = performance.now() - begun
      t.ok(ms < LAPSED_MS, `she gets in after ${Math.round(ms)} ms`)
      const mistyped: Answer[] = []
      for (const i of numbers(BUDGET)) mistyped.push(await from(HOME, wrong('eve', i), other))
      t.strictSame(tally(mistyped), { served: 0, wrong: BUDGET, throttled: 0, other: 0 })
      t.equal((await from(HOME, eve, other)).status, 429, 'and has the budget that she has')
    }
    const whoGuessesAtBoth = async () => {
      const answers = await Promise.all(guessed)
      // What was under way at the server that died is free again.
      for (const i of numbers(BUDGET)) answers.push(await from(HOME, wrong('bob', 1000 + i), other))
      const told = tally(answers.flatMap((answer) => answer ?? []))
      t.match(
        told,
        { served: 0, wrong: BUDGET, other: 0 },
        'as many are told that it was wrong as the budget has',
      )
      t.ok(told.throttled > 0)
      const unheard = received.filter(({ json }) => json.username === 'bob').length - BUDGET
      t.ok(unheard >= UNDER_WAY && unheard <= BUDGET, `${unheard} were tried besides, and nobody was told`)
    }
    await Promise.all([whoseServerDied(), whoGuessesAtBoth()])
  })
}
