import t from 'tap'
import { overload } from './overload.ts'

// That each is answered is what is held here: how soon depends on what else the machine does.
// Sign-ins are flooded in faults/sign-in-flood.test.ts, on both stores; the whole of it is overload.long.ts.
t.test('more than there is room for, a little of each', (t) =>
  overload(t, 'redis', {
    signIns: 20,
    connections: 300,
    slow: 50,
    parameters: 100_000,
    flood: 400,
    atOnce: 50,
    p99: 10_000,
    mayComeAgain: true,
    megabytes: 400,
  }),
)
