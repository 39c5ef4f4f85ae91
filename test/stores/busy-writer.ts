import { writeSync } from 'node:fs'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import { someFamily, someUser, turn } from './records.ts'

/*
 * A server that signs in, rotates and revokes without pause until it is killed. Whatever the store has acknowledged it
 * says at once, a line each: what it wrote to the pipe outlives it.
 */

/** A line of it. */
export type Acknowledged =
  | { readonly what: 'user'; readonly sub: string }
  | { readonly what: 'sign-in' | 'revocation'; readonly id: string }
  | { readonly what: 'rotation'; readonly id: string; readonly generation: number }

const AT_ONCE = 8
const ROTATIONS = 4

const say = (line: Acknowledged) => writeSync(1, `${JSON.stringify(line)}\n`)
const store = await openStore(parseStoreUrl(process.argv[2] ?? ''), {
  waitReplicas: 0,
  onChange: () => undefined,
})
await untilReachable(store, 10_000)

async function work(revokes: boolean): Promise<void> {
  const user = someUser()
  await store.users.create(user)
  say({ what: 'user', sub: user.sub })
  for (;;) {
    const family = someFamily(user)
    if (!(await store.families.create(family))) throw new Error('the store did not begin the family')
    say({ what: 'sign-in', id: family.id })
    for (let from = 0; from < ROTATIONS; from += 1) {
      const { applied } = await store.families.advance(turn(family, from))
      if (!applied) throw new Error('the store did not move the family')
      say({ what: 'rotation', id: family.id, generation: from + 1 })
    }
    if (!revokes) continue
    await store.families.revoke(family.id, 'client')
    say({ what: 'revocation', id: family.id })
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => work(i % 2 === 0)))
