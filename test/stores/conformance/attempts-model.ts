import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Test } from 'tap'
import { BATCHES, type Charge, type Store } from '../../../src/stores/contract.ts'

const RUNS = 100
const WINDOW_MS = 60_000
const LONG_MS = 30_000

const NETWORKS = ['a', 'b'] as const
type Network = (typeof NETWORKS)[number]

const attempt = {
  network: fc.constantFrom(...NETWORKS),
  batch: fc.constantFrom(...BATCHES),
}
const act = fc.oneof(
  { weight: 5, arbitrary: fc.record({ ...attempt, act: fc.constantFrom('reserve' as const) }) },
  { weight: 1, arbitrary: fc.record({ ...attempt, act: fc.constantFrom('lapse' as const) }) },
  { weight: 4, arbitrary: fc.record({ ...attempt, act: fc.constantFrom('failed', 'given_back') }) },
)

/** One counter: what has failed, and what is pending in each batch. This is all that there is to know of it. */
class Counter {
  failed = 0
  pending = BATCHES.map(() => 0)

  get held(): number {
    return this.pending.reduce((sum, count) => sum + count, this.failed)
  }
}

const chargesFrom = (subject: string, network: Network): Charge[] => [
  { subject, counter: network, limit: 2 },
  { subject, counter: 'all', limit: 2, newcomers: { limit: 3, emptyAt: 0 } },
]

/**
 * Attempts of two networks, in any order of reserving, settling (late, twice or never as well) and lapsing: whether the
 * next one is refused is what two numbers for each counter say. `lapse` reserves what is over at once.
 */
export async function testAttemptsModel(t: Test, store: Store, other: Store): Promise<void> {
  let acts = 0
  const seen = new Set<string>()
  const property = fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (history) => {
    const subject = `test:${randomUUID()}`
    const model = { a: new Counter(), b: new Counter(), all: new Counter() }
    for (const { act, network, batch } of history) {
      acts += 1
      const { attempts } = acts % 2 ? store : other
      const charges = chargesFrom(subject, network)
      const own = [model[network], model.all]
      if (act === 'failed' || act === 'given_back') {
        await attempts.settle(charges, act, { windowMs: WINDOW_MS, batch })
        for (const counter of own) {
          if (act === 'failed') counter.failed += 1
          counter.pending[batch] = Math.max(0, counter.pending[batch]! - 1)
        }
        continue
      }
      // Spent by failures alone, whoever is under way; held by these, too.
      const firstFull = (counted: 'failed' | 'held') => {
        const rooms = [2, own[0]![counted] === 0 ? 3 : 2]
        return own.findIndex((counter, at) => counter[counted] >= rooms[at]!)
      }
      const [spent, full] = [firstFull('failed'), firstFull('held')]
      const expected = spent >= 0 ? `${spent} spent` : full >= 0 ? `${full} pending` : 'let through'
      const pendingMs = act === 'lapse' ? 1 : LONG_MS
      const refusal = await attempts.reserve(charges, { windowMs: WINDOW_MS, pendingMs, batch })
      const answer = refusal ? `${refusal.at} ${refusal.state}` : 'let through'
      if (answer !== expected) throw new Error(`${answer} instead of ${expected}`)
      seen.add(answer)
      if (refusal) continue
      for (const counter of own) counter.pending[batch] = act === 'lapse' ? 0 : counter.pending[batch]! + 1
      if (act === 'lapse') await sleep(4)
    }
  })
  await fc.assert(property, { numRuns: RUNS })
  t.strictSame([...seen].sort(), ['0 pending', '0 spent', '1 pending', '1 spent', 'let through'])
  t.comment(`${acts} acts`)
}
