import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import { signedIn, turn } from './records.ts'

/*
 * A server that begins a session, turns it once, says so, and waits to be killed.
 */
const store = await openStore(parseStoreUrl(process.argv[2] ?? ''), {
  waitReplicas: 0,
  onChange: () => undefined,
})
await untilReachable(store, 10_000)
const { begun } = await signedIn(store)
await store.families.advance(turn(begun, 0))
process.send?.(begun)
