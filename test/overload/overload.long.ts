import { execFileSync } from 'node:child_process'
import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { overload } from './overload.ts'

const CONNECTIONS = 10_000
/** Descriptors that the processes need besides. */
const OTHERS = 500

for (const kind of STORE_KINDS) {
  t.test(`more than there is room for, on ${kind}`, async (t) => {
    const limit = Number(execFileSync('sh', ['-c', 'ulimit -n']).toString().replace('unlimited', '1e9'))
    t.ok(limit >= CONNECTIONS + OTHERS, `ulimit -n is ${limit}; ${CONNECTIONS + OTHERS} are needed`)
    await overload(t, kind, {
      signIns: 500,
      connections: CONNECTIONS,
      slow: 1000,
      parameters: 100_000,
      flood: 50_000,
      atOnce: 200,
      p99: 2000,
      mayComeAgain: false,
      megabytes: 600,
    })
  })
}
