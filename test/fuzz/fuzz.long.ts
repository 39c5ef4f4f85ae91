import t from 'tap'
import { contextOf, prepareStage } from '../conformance/context.ts'
import { logFaults, sendGenerated } from '../conformance/generated.ts'
import { count } from '../support/count.ts'
import { STORE_KINDS } from '../support/deployment.ts'
import { described, fuzz } from './fuzz.ts'
import { TARGETS } from './targets.ts'

/*
 * A million inputs over all targets, another million every day. FUZZ_INPUTS=N for another number; SEED=N, which is
 * printed, for the same ones again.
 */
const INPUTS = Number(process.env.FUZZ_INPUTS ?? 1_000_000)
const SEED = Number(process.env.SEED ?? Math.floor(Date.now() / 86_400_000))
/** Of a thousand inputs this many are requests to a server, for each store. */
const SHARE_OF_REQUESTS = 5

const print = (line: string) => process.stderr.write(`${line}\n`)
const shares = TARGETS.reduce((sum, { share }) => sum + share, SHARE_OF_REQUESTS * STORE_KINDS.length)
const partOf = (share: number) => Math.ceil((INPUTS * share) / shares)

let tried = 0
let violations = 0
const note = (name: string, inputs: number, found: readonly string[], begin: number) => {
  tried += inputs
  violations += found.length
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  print(`${name}: ${inputs} inputs, ${found.length} violations, ${seconds} s; ${tried} in all`)
  for (const line of found) print(line)
}

t.setTimeout(7_200_000)
print(`fuzz: ${INPUTS} inputs, SEED=${SEED}`)

for (const [i, target] of TARGETS.entries()) {
  t.test(`hostile input: ${target.name}`, { timeout: 3_600_000 }, async (t) => {
    const begin = performance.now()
    const { inputs, findings } = await fuzz(target, partOf(target.share), 1000 * SEED + i)
    const found = findings.map(described)
    note(target.name, inputs, found, begin)
    t.strictSame(found, [])
  })
}

for (const kind of STORE_KINDS) {
  t.test(`hostile requests, on ${kind}`, { timeout: 3_600_000 }, async (t) => {
    const context = contextOf(await prepareStage(t, kind), 49)
    const begin = performance.now()
    const { sent, faults } = await sendGenerated(context, partOf(SHARE_OF_REQUESTS), SEED)
    const found = [...faults, ...logFaults(context)]
    note(`requests on ${kind}`, sent, found, begin)
    count(t, { what: 'hostile requests', number: sent, on: kind, violations: found.length })
    t.strictSame(found, [])
  })
}

t.test('in all', async (t) => {
  count(t, { what: 'fuzz inputs', number: tried, violations, more: `SEED=${SEED}` })
  t.equal(violations, 0)
  t.ok(tried >= INPUTS)
})
