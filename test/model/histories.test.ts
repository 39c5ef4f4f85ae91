import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { holdHistories } from './histories.ts'
import { KINDS } from './steps.ts'

const HISTORIES = { plain: 200, 'client changes': 24, restarts: 4 }

for (const store of STORE_KINDS) {
  for (const of of KINDS) {
    t.test(`random histories of two servers on ${store}: ${of}`, async (t) => {
      const { histories, steps } = await holdHistories(t, store, { histories: HISTORIES[of], of })
      t.pass(`${histories} histories of ${steps} steps, no divergence`)
    })
  }
}
