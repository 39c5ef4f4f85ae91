import { once } from 'node:events'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import type { Contest, Outcome } from './conformance/contention.ts'

/*
 * Another server on the same store, as far as turns are concerned: opens the store, waits for the word to begin, asks
 * for its turns, and tells which of them moved a family.
 */
const store = await openStore(parseStoreUrl(process.argv[2] ?? ''), {
  waitReplicas: 0,
  onChange: () => undefined,
})
await untilReachable(store, 10_000)

async function compete({ atOnce, onward, durationMs }: Contest): Promise<Outcome> {
  const crowd = await Promise.all(Array.from({ length: 50 }, () => store.families.advance(atOnce)))
  const moved: number[] = []
  const end = performance.now() + durationMs
  // Whoever starts late goes on until it has had its turn.
  for (let from = 0; performance.now() < end || moved.length === 0; ) {
    const { applied, family } = await store.families.advance({ ...onward, from, to: from + 1 })
    if (applied) moved.push(from)
    from = applied ? from + 1 : (family?.generation ?? from)
  }
  return { crowd: crowd.filter(({ applied }) => applied).length, moved }
}

process.send?.('ready')
const [contest] = await once(process, 'message')
process.send?.(await compete(contest))
await store.close()
