import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { steal } from './theft.ts'

for (const kind of STORE_KINDS) {
  t.test(`a thief who starts a server on what he stole, on ${kind}`, (t) => steal(t, kind, true))
}
