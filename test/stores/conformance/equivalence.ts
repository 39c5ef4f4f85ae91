import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Test } from 'tap'
import { newEpoch } from '../../../src/accounts/user.ts'
import type { Store } from '../../../src/stores/contract.ts'
import { decide } from '../../../src/tokens/decision.ts'
import { expectFamily, signedIn, turn } from '../records.ts'

const RUNS = 200

const often = <T>(value: T, ...others: T[]) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const situation = fc.record({
  generation: fc.nat({ max: 3 }),
  offset: often(0, -3, -2, -1, 1, 2, 1001),
  ended: often(false, true),
  revoked: often(undefined, 'reuse' as const, 'operator' as const),
  user: often('same', 'moved', 'gone'),
  clientId: often('web', 'app', 'WEB'),
  clientEpoch: often(22, 21, 0),
  sender: fc.record({ network: fc.constantFrom('192.0.2.0/24', ''), agent: fc.constantFrom('curl/8', '') }),
  graceMs: fc.constantFrom(0, 30_000),
  onReuse: fc.constantFrom('enforce' as const, 'observe' as const),
})

/** The compare-and-set moves a family exactly where the rule says `rotate`: the stores hold no second copy of the rule. */
export async function testEquivalence(t: Test, store: Store, other: Store): Promise<void> {
  let rotations = 0
  const property = fc.asyncProperty(situation, async (given) => {
    const { user, begun } = await signedIn(store, given.ended ? { idleMs: 1 } : {})
    if (given.generation > 0) await store.families.advance(turn(begun, 0, { to: given.generation }))
    if (given.revoked) await store.families.revoke(begun.id, given.revoked)
    if (given.user === 'moved') await store.users.change(user.sub, { epoch: newEpoch(user.epoch) })
    if (given.user === 'gone') await store.users.delete(user)
    if (given.ended) await sleep(4)
    const before = await other.families.look(begun.id)

    const presented = Math.max(0, given.generation + given.offset)
    const { clientId, clientEpoch, sender, graceMs, onReuse } = given
    const asked = { clientId, clientEpoch, sender }
    const { applied, ...view } = await other.families.advance(turn(begun, presented, asked))
    const decision = decide({
      presented,
      family: view.family,
      userEpoch: view.user?.epoch,
      client: { clientId, epoch: clientEpoch },
      scope: undefined,
      sender,
      now: view.now,
      graceMs,
      onReuse,
    })

    const { ended, revoked, generation } = given
    const isOurs = clientId === 'web' && clientEpoch === 22
    const expected = !ended && !revoked && given.user === 'same' && isOurs && presented === generation
    const after = await store.families.look(begun.id)
    if (applied) rotations += 1
    return (
      applied === (decision.kind === 'rotate') &&
      applied === expected &&
      view.family?.generation === before.family?.generation &&
      (view.family === undefined) === ended &&
      after.family?.generation === (ended ? undefined : applied ? generation + 1 : generation)
    )
  })
  await fc.assert(property, { numRuns: RUNS })
  t.ok(rotations > RUNS / 20 && rotations < RUNS * 0.95, `${rotations} of ${RUNS} were rotations`)

  await t.test('what a store tells of a family is what it holds', async (t) => {
    const { begun } = await signedIn(store)
    const looked = await store.families.look(begun.id)
    const advanced = await other.families.advance(turn(begun, 5))
    if (looked.family) expectFamily(t, advanced.family, looked.family, 'advance tells as much as look')
  })
}
