import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { steal } from './theft.ts'

for (const kind of STORE_KINDS) {
  // What the thief's own server gives out does not depend on the store; theft.long.ts has it on both.
  t.test(`a thief of the store and of the secrets, on ${kind}`, (t) => steal(t, kind, kind === 'lmdb'))
}
