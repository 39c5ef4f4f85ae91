import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { tamper } from './tampering.ts'

/** All of them are for tampering.long.ts. */
const SHARE = 0.04

for (const kind of STORE_KINDS) {
  t.test(`a store with damaged records, on ${kind}`, (t) => tamper(t, kind, SHARE))
}
