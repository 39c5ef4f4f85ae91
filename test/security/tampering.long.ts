import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { tamper } from './tampering.ts'

for (const kind of STORE_KINDS) {
  t.test(`a store with every record damaged in every way, on ${kind}`, (t) => tamper(t, kind, 1))
}
