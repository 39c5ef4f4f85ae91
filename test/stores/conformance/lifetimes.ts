import type { Test } from 'tap'
import { userLocator } from '../../../src/accounts/user.ts'
import type { FamilyView, NewFamily, Store } from '../../../src/stores/contract.ts'
import { decide } from '../../../src/tokens/decision.ts'
import { NO_LOCKSTEP } from '../../../src/tokens/family.ts'
import { until } from '../../support/until.ts'
import { CLOCK_MS, familyIn, signedIn, someFamily, turn } from '../records.ts'

/** A generation whose turn is asked for by the family's own client. */
function isRotation(begun: NewFamily, from: number, { family, user, now }: FamilyView): boolean {
  const { clientId, clientEpoch, sender } = begun
  const client = { clientId, epoch: clientEpoch }
  const asked = { presented: from, family, userEpoch: user?.epoch, client, scope: undefined, sender, now }
  return decide({ ...asked, graceMs: 30_000, onReuse: 'enforce' }).kind === 'rotate'
}

/** Of the families that are turned. */
const IDLE_MS = 900

export async function testLifetimes(t: Test, store: Store): Promise<void> {
  await t.test('without a turn a family is gone at its idle end, not before', async (t) => {
    const { user, begun, createdAt, seen } = await seenInTime(store, 500)
    t.ok(seen.family, 'it is there before that')
    const gone = await until('the family is gone', async () => {
      const view = await store.families.look(begun.id)
      return view.family === undefined && view
    })
    t.ok(gone.now >= createdAt + 500, `it was there for ${gone.now - createdAt} ms`)

    t.match(await store.families.advance(turn(begun, 0)), {
      applied: false,
      family: undefined,
      user: { sub: user.sub },
    })
    t.equal(await store.families.revoke(begun.id, 'operator'), 'gone')
    await store.families.noteReplay(begun.id, { generation: 1, run: 1 })
    t.equal((await store.families.look(begun.id)).family, undefined, 'a replay does not bring it back')
    t.strictSame(await store.families.listOfUser(userLocator(user.sub), 10), [])
    const next = someFamily(user)
    await store.families.create(next)
    t.match(await store.families.listOfUser(userLocator(user.sub), 10), [{ id: next.id }])
  })

  await t.test('turns keep it alive, and never beyond its absolute end', async (t) => {
    // Many at once, so that some turn of some family falls on the very millisecond of its end.
    const lives = await Promise.all(Array.from({ length: 20 }, () => liveOn(store)))
    t.ok(
      lives.some(({ turns }) => turns > 1),
      `${lives.map(({ turns }) => turns).join(' ')} turns`,
    )
    t.strictSame(
      lives.flatMap(({ faults }) => faults),
      [],
    )
  })

  await t.test('the idle end is never beyond the absolute one', async (t) => {
    const { begun, endsAt } = await signedIn(store, { idleMs: 100_000, maxMs: 50_000 })
    t.ok(familyIn(await store.families.look(begun.id)).expiresAt <= endsAt + CLOCK_MS, 'at the beginning')
    await store.families.advance(turn(begun, 0, { idleMs: 1e9 }))
    const { expiresAt } = familyIn(await store.families.look(begun.id))
    t.ok(Math.abs(expiresAt - endsAt) <= CLOCK_MS, 'after a turn')
  })

  await t.test('a shorter idle time of the client holds from the next turn on', async (t) => {
    const { begun } = await signedIn(store)
    const { now } = await store.families.advance(turn(begun, 0, { idleMs: 5000 }))
    t.ok(Math.abs(familyIn(await store.families.look(begun.id)).expiresAt - (now + 5000)) <= CLOCK_MS)
  })

  await t.test('a tombstone goes with its time, too', async (t) => {
    const { begun, createdAt, seen } = await seenInTime(store, 800, async (begun) => {
      await store.families.revoke(begun.id, 'reuse')
      await store.families.noteReplay(begun.id, NO_LOCKSTEP)
    })
    t.equal(familyIn(seen).revoked?.reason, 'reuse')
    const { now } = await until('the tombstone is gone', async () => {
      const view = await store.families.look(begun.id)
      return view.family === undefined && view
    })
    t.ok(now >= createdAt + 800)
    t.equal(await store.families.revoke(begun.id, 'operator'), 'gone')
  })
}

/** A session of so short a life, and how it looked within that; where a busy machine came to look too late, another one. */
function seenInTime(store: Store, idleMs: number, before = async (_begun: NewFamily) => {}) {
  return until('a look is in time', async () => {
    const one = await signedIn(store, { idleMs })
    await before(one.begun)
    const seen = await store.families.look(one.begun.id)
    return seen.now < one.createdAt + idleMs && { ...one, seen }
  })
}

/** Begins a family and turns it until it is refused; tells how often that was, and what was wrong on the way. */
async function liveOn(store: Store) {
  const { begun, createdAt, endsAt } = await signedIn(store, { idleMs: IDLE_MS, maxMs: 1000 })
  const faults: unknown[] = []
  let turnedAt = createdAt
  for (let generation = 0; ; generation += 1) {
    const answer = await store.families.advance(turn(begun, generation))
    const { applied, family, now } = answer
    if (applied !== isRotation(begun, generation, answer)) faults.push(['the rule does not agree', answer])
    if (family && (family.endsAt !== endsAt || family.createdAt !== createdAt))
      faults.push(['an end has moved', answer])
    if (family && family.expiresAt > endsAt + CLOCK_MS)
      faults.push(['the idle end is beyond the absolute one', answer])
    if (applied) {
      turnedAt = now
      continue
    }
    if (now < Math.min(endsAt, turnedAt + IDLE_MS) - CLOCK_MS) faults.push(['it ended too early', answer])
    return { turns: generation, faults }
  }
}
