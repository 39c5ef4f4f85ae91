import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { holdHistories } from './histories.ts'

for (const kind of STORE_KINDS) {
  t.test(`random histories, two servers, on ${kind}`, async (t) => {
    const { histories, steps } = await holdHistories(t, kind, { histories: 200 })
    t.pass(`${histories} histories of ${steps} steps, no divergence`)
  })
  t.test(`random histories in which servers are killed, on ${kind}`, async (t) => {
    const { histories, steps } = await holdHistories(t, kind, { histories: 6, withRestarts: true })
    t.pass(`${histories} histories of ${steps} steps, no divergence`)
  })
}
