import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { holdHistories } from './histories.ts'
import { KINDS } from './steps.ts'

const HISTORIES = { plain: 100, 'client changes': 12, restarts: 3 }

for (const store of STORE_KINDS) {
  for (const of of KINDS) {
    t.test(`random histories of two servers on ${store}: ${of}`, async (t) => {
      const { histories, steps } = await holdHistories(t, store, { histories: HISTORIES[of], of })
      t.pass(`${histories} histories of ${steps} steps, no divergence`)
    })
  }
}
