import t from 'tap'
import { count } from '../support/count.ts'
import { STORE_KINDS } from '../support/deployment.ts'
import { holdHistories } from './histories.ts'

const HISTORIES = Number(process.env.HISTORIES ?? 10_000)
const WITH_RESTARTS = 200

for (const kind of STORE_KINDS) {
  for (const withRestarts of [false, true]) {
    const asked = { histories: withRestarts ? WITH_RESTARTS : HISTORIES, withRestarts }
    t.test(`histories on ${kind}${withRestarts ? ', in which servers are killed' : ''}`, async (t) => {
      const { histories, steps, tally } = await holdHistories(t, kind, asked)
      const counts = Object.entries(tally).map(([what, count]) => `${what} ${count}`)
      const more = `${withRestarts ? 'with servers that are killed; ' : ''}${steps} steps: ${counts.join(', ')}`
      count(t, { what: 'histories', number: histories, on: kind, more })
      t.pass(`${histories} histories`)
    })
  }
}
