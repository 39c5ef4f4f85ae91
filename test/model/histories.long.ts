import t from 'tap'
import { count } from '../support/count.ts'
import { STORE_KINDS } from '../support/deployment.ts'
import { holdHistories } from './histories.ts'
import { KINDS } from './steps.ts'

/** Of the plain ones; the others take longer, and are fewer in proportion. */
const PLAIN = Number(process.env.HISTORIES ?? 10_000)
const HISTORIES = {
  plain: PLAIN,
  'client changes': Math.ceil(PLAIN / 20),
  restarts: Math.ceil(PLAIN / 100),
}

for (const store of STORE_KINDS) {
  for (const of of KINDS) {
    const what = of === 'plain' ? store : `${store}, with ${of}`
    t.test(`histories on ${what}`, async (t) => {
      const { histories, steps, tally } = await holdHistories(t, store, { histories: HISTORIES[of], of })
      const counts = Object.entries(tally).map(([what, count]) => `${what} ${count}`)
      const more = `${t.name}: ${steps} steps; ${counts.toSorted().join(', ')}`
      count(t, { what: 'histories', number: histories, on: store, more })
      t.pass(`${histories} histories`)
    })
  }
}
