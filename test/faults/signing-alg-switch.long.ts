import t from 'tap'
import { switchUnderLoad } from './signing-alg-switch.ts'

t.test('SIGNING_ALG is changed on servers at work, again and again: no token is refused', (t) =>
  switchUnderLoad(t, true),
)
