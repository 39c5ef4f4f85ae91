import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { newEpoch, userLocator } from '../../../src/accounts/user.ts'
import type { AdvanceRequest, Store } from '../../../src/stores/contract.ts'
import { type Family, NO_LOCKSTEP } from '../../../src/tokens/family.ts'
import { MAX_GENERATION } from '../../../src/tokens/refresh-token.ts'
import { until } from '../../support/until.ts'
import { readAlong } from '../read-along.ts'
import { atFirst, expectFamily, familyIn, idOf, signedIn, someFamily, someUser, turn } from '../records.ts'

export async function testFamilies(t: Test, store: Store, other: Store): Promise<void> {
  await t.test('they are counted', async (t) => {
    const before = await store.families.count()
    await signedIn(store)
    await signedIn(other)
    t.equal((await store.families.count()) - before, 2)
    t.equal((await other.families.count()) - before, 2, 'by whoever asks')
  })

  await t.test('a family is as it was begun, for everyone', async (t) => {
    const before = Date.now()
    const { user, begun, createdAt, endsAt } = await signedIn(store)
    t.ok(createdAt >= before - 5 && createdAt <= Date.now() + 5, 'the sign-in is now')
    t.equal(endsAt, createdAt + begun.maxMs)
    for (const handle of [store, other]) {
      const view = await handle.families.look(begun.id)
      expectFamily(t, view.family, atFirst(begun, createdAt), 'as begun')
      t.match(view.user, { sub: user.sub, epoch: user.epoch })
      t.ok(view.now >= createdAt && view.now <= Date.now() + 5)
    }
  })

  await t.test('none begins unless the user is there, in the epoch of the password', async (t) => {
    const user = someUser()
    const family = someFamily(user)
    t.equal(await store.families.create(family), undefined, 'no such user')
    await store.users.create(user)
    t.equal(
      await store.families.create({ ...family, userEpoch: newEpoch(user.epoch) }),
      undefined,
      'another epoch',
    )
    await other.users.change(user.sub, { epoch: newEpoch(user.epoch) })
    t.equal(await store.families.create(family), undefined, 'the epoch has moved')
    t.equal((await store.families.look(family.id)).family, undefined)
    t.strictSame(await store.families.listOfUser(userLocator(user.sub), 10), [], 'nothing came of it')
  })

  await t.test('a turn moves what it says and tells what was there before', async (t) => {
    const { user, begun, createdAt, endsAt } = await signedIn(store)
    await sleep(20)
    const sender = { network: '2001:db8:1::/48', agent: 'curl/8' }
    const first = await other.families.advance(turn(begun, 0, { sender, idleMs: 60_000 }))
    t.equal(first.applied, true)
    t.match(first.user, { sub: user.sub, epoch: user.epoch })
    expectFamily(t, first.family, atFirst(begun, createdAt), 'before')
    t.ok(first.now >= createdAt + 15)

    const moved: Family = {
      ...atFirst(begun, createdAt),
      generation: 1,
      rotatedAt: first.now,
      expiresAt: first.now + 60_000,
      lastSender: sender,
    }
    expectFamily(t, familyIn(await store.families.look(begun.id)), moved, 'after')
    t.equal(moved.endsAt, endsAt, 'the absolute end stays')

    const second = await store.families.advance(turn(begun, 1))
    t.equal(second.applied, true)
    expectFamily(t, second.family, moved, 'before the next')
    const longer = familyIn(await store.families.look(begun.id))
    t.equal(longer.generation, 2)
    t.ok(longer.expiresAt > moved.expiresAt, 'the idle end moves with each turn')
    t.equal(longer.createdAt, createdAt)
  })

  await t.test('a turn can pass over generations that were lost', async (t) => {
    const { begun } = await signedIn(store)
    t.equal((await store.families.advance(turn(begun, 0, { to: 1001 }))).applied, true)
    t.equal((await store.families.advance(turn(begun, 1001, { to: MAX_GENERATION }))).applied, true)
    const { applied, family } = await store.families.advance(turn(begun, MAX_GENERATION - 1))
    t.equal(applied, false)
    t.equal(family?.generation, MAX_GENERATION)
  })

  await t.test('each guard holds alone, and then nothing moves', async (t) => {
    const guards: Record<string, Partial<AdvanceRequest>> = {
      'from the generation before': { from: 4 },
      'from the generation after': { from: 6 },
      'from the first': { from: 0 },
      'another client': { clientId: 'app' },
      'a client whose name begins like it': { clientId: 'web2' },
      'another epoch of the client': { clientEpoch: 23 },
    }
    const { begun } = await signedIn(store)
    await store.families.advance(turn(begun, 0, { to: 5 }))
    const before = familyIn(await store.families.look(begun.id))
    await sleep(5)
    for (const [what, guard] of Object.entries(guards)) {
      const answer = await other.families.advance(
        turn(begun, 5, { to: 9, sender: { network: 'x', agent: 'y' }, idleMs: 1000, ...guard }),
      )
      t.equal(answer.applied, false, what)
      expectFamily(t, answer.family, before, `${what}: told as it is`)
      expectFamily(t, (await store.families.look(begun.id)).family, before, `${what}: nothing moved`)
    }
    t.equal((await store.families.advance(turn(begun, 5))).applied, true, 'and its own client goes on')
  })

  await t.test('another epoch of the user stops it, and so does revocation', async (t) => {
    for (const end of ['epoch', 'revoked'] as const) {
      const { user, begun } = await signedIn(store)
      if (end === 'epoch') await store.users.change(user.sub, { epoch: newEpoch(user.epoch) })
      else await store.families.revoke(begun.id, 'operator')
      const before = familyIn(await store.families.look(begun.id))
      const answer = await other.families.advance(turn(begun, 0))
      t.equal(answer.applied, false, end)
      expectFamily(t, answer.family, before, `${end}: told as it is`)
      expectFamily(t, (await store.families.look(begun.id)).family, before, `${end}: nothing moved`)
    }
  })

  await t.test('a family that never was is nowhere', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const family = someFamily(user)
    t.match(await store.families.look(family.id), {
      family: undefined,
      user: { sub: user.sub, epoch: user.epoch },
    })
    t.match(await store.families.advance(turn(family, 0)), { applied: false, family: undefined })
    t.equal(await store.families.revoke(family.id, 'operator'), 'gone')
    await store.families.noteReplay(family.id, { generation: 3, run: 2 })
    t.equal((await store.families.look(family.id)).family, undefined, 'nor did any of these bring it about')
    t.strictSame(await store.families.listOfUser(userLocator(user.sub), 10), [])
    const stranger = await store.families.look(idOf(someUser()))
    t.strictSame([stranger.family, stranger.user], [undefined, undefined], 'no such user either')
  })

  await t.test('revocation marks, once, and leaves the record until its end', async (t) => {
    const { begun, createdAt } = await signedIn(store)
    await store.families.noteReplay(begun.id, NO_LOCKSTEP)
    const before = familyIn(await store.families.look(begun.id))
    const seen = await readAlong(
      () => other.families.look(begun.id),
      () => store.families.revoke(begun.id, 'reuse'),
    )
    t.equal(seen.result, 'revoked')
    t.equal(seen.after.family?.revoked?.reason, 'reuse', 'at once for everyone')
    t.equal(await other.families.revoke(begun.id, 'operator'), 'already_revoked')
    const { revoked, ...others } = familyIn(await other.families.look(begun.id))
    expectFamily(t, others, before, 'nothing else changes')
    t.equal(revoked?.reason, 'reuse', 'the first reason stays')
    t.ok(revoked && revoked.at >= createdAt && revoked.at <= Date.now() + 5)
    t.match(await store.families.listOfUser(begun.id.slice(0, 12), 10), [
      { id: begun.id, revoked: { reason: 'reuse' } },
    ])
  })

  await t.test('no turn succeeds once a revocation is answered', async (t) => {
    const { begun } = await signedIn(store)
    let generation = 0
    let isRevoked = false
    const turns = (async () => {
      while (!isRevoked || generation === 0) {
        const { applied, family } = await store.families.advance(turn(begun, generation))
        if (applied) generation += 1
        else if (family?.revoked) break
      }
    })()
    await until('a turn', () => generation > 0)
    t.equal(await other.families.revoke(begun.id, 'client'), 'revoked')
    isRevoked = true
    const at = familyIn(await other.families.look(begun.id)).generation
    await turns
    t.ok(at > 0, `${at} turns before`)
    t.equal(familyIn(await store.families.look(begun.id)).generation, at)
    t.equal((await store.families.advance(turn(begun, at))).applied, false)
  })

  await t.test('a replay is counted and moves nothing', async (t) => {
    const { begun } = await signedIn(store)
    await store.families.advance(turn(begun, 0))
    const before = familyIn(await store.families.look(begun.id))
    await store.families.noteReplay(begun.id, NO_LOCKSTEP)
    await sleep(5)
    await other.families.noteReplay(begun.id, { generation: 1, run: 1 })
    const replayed = { ...before, replays: 2, lockstep: { generation: 1, run: 1 } }
    expectFamily(t, (await store.families.look(begun.id)).family, replayed, 'counted')
    await Promise.all(
      Array.from({ length: 20 }, () => store.families.noteReplay(begun.id, { generation: 1, run: 1 })),
    )
    expectFamily(
      t,
      (await other.families.look(begun.id)).family,
      { ...replayed, replays: 22 },
      'none is missed',
    )
    const { now } = await store.families.advance(turn(begun, 1))
    t.match((await store.families.look(begun.id)).family, {
      generation: 2,
      rotatedAt: now,
      replays: 22,
      lockstep: { generation: 1, run: 1 },
    })
  })

  await t.test('an older lockstep does not take the place of a newer one', async (t) => {
    const { begun } = await signedIn(store)
    await store.families.advance(turn(begun, 0, { to: 6 }))
    const noted = async () => {
      const { replays, lockstep } = familyIn(await store.families.look(begun.id))
      return [replays, lockstep.generation, lockstep.run]
    }
    await store.families.noteReplay(begun.id, { generation: 5, run: 2 })
    await other.families.noteReplay(begun.id, { generation: 4, run: 1 })
    t.strictSame(await noted(), [2, 5, 2], 'it is counted all the same')
    await other.families.noteReplay(begun.id, NO_LOCKSTEP)
    await store.families.noteReplay(begun.id, { generation: 5, run: 1 })
    t.strictSame(await noted(), [4, 5, 2], 'nor does another of the same generation')
    await other.families.noteReplay(begun.id, { generation: 6, run: 3 })
    t.strictSame(await noted(), [5, 6, 3])
  })

  await t.test('long and odd members survive, turn after turn', async (t) => {
    const long = Array.from({ length: 50 }, (_, i) => `scope${String(i).padStart(4, '0')}`)
    const members = [
      { scope: long },
      { scope: ['x'.repeat(500)] },
      ...[62, 63, 64, 65, 127, 128, 129].map((length) => ({ scope: ['y'.repeat(length)] })),
      { scope: ['a'.repeat(63), 'b', 'c'.repeat(62)], audience: ['d'.repeat(255), 'e'.repeat(64), 'f'] },
      { scope: [], audience: [] },
      { clientId: 'c'.repeat(64) },
      { clientId: '__proto__' },
      { sender: { network: '2001:db8:ffff::/48', agent: 'a'.repeat(40) } },
      { sender: { network: '', agent: '' } },
      { clientEpoch: 2 ** 31 - 1 },
      { clientEpoch: 0 },
    ]
    t.equal(long.join(' ').length, 499)
    for (const member of members) {
      const { begun, createdAt } = await signedIn(store, member)
      const expected = atFirst(begun, createdAt)
      const what = JSON.stringify(member).slice(0, 60)
      expectFamily(t, (await other.families.look(begun.id)).family, expected, what)
      const { applied, now } = await other.families.advance(turn(begun, 0))
      t.equal(applied, true)
      const moved = { ...expected, generation: 1, rotatedAt: now, expiresAt: now + begun.idleMs }
      expectFamily(t, (await store.families.look(begun.id)).family, moved, `${what}: after a turn`)
    }
  })

  await t.test(
    'a family of another store is taken over as it stands, unless this one is further on',
    async (t) => {
      const user = someUser()
      await store.users.create(user)
      const held: Family = {
        ...atFirst(someFamily(user, { scope: ['x'.repeat(200), 'y'] }), Date.now() - 5000),
        generation: 7,
        rotatedAt: Date.now() - 1000,
        replays: 3,
        lockstep: { generation: 6, run: 2 },
      }
      t.equal(await store.families.adopt(held), true)
      expectFamily(t, familyIn(await other.families.look(held.id)), held, 'as it stood')
      t.match(await other.families.listOfUser(userLocator(user.sub), 10), [{ id: held.id }], 'and listed')
      t.equal(await other.families.adopt(held), false, 'the same once more')
      t.equal((await other.families.advance(turn(someFamily(user, { id: held.id }), 7))).applied, true)
      t.equal(await store.families.adopt(held), false, 'this one is further on')
      t.equal(familyIn(await store.families.look(held.id)).generation, 8)

      const later: Family = { ...held, generation: 9, revoked: { reason: 'reuse', at: Date.now() } }
      t.equal(await store.families.adopt(later), true, 'the other one is')
      expectFamily(t, familyIn(await other.families.look(held.id)), later, 'a tombstone')
      t.equal(await store.families.adopt({ ...held, generation: 20 }), false, 'revoked stays revoked')
      const over = { ...held, id: idOf(user), expiresAt: Date.now() - 1 }
      t.equal(await store.families.adopt(over), false, 'one whose time is over')
      t.equal((await store.families.look(over.id)).family, undefined)
    },
  )

  await t.test('the sessions of a user: the most recently used first, at most so many', async (t) => {
    const { user, begun: first } = await signedIn(store)
    const [second, third] = [someFamily(user), someFamily(user)]
    await store.families.create(second)
    await sleep(5)
    await store.families.create(third)
    await store.families.revoke(third.id, 'operator')
    await sleep(5)
    await store.families.advance(turn(first, 0))
    const locator = userLocator(user.sub)
    const listed = await other.families.listOfUser(locator, 10)
    t.strictSame(
      listed.map(({ id }) => id),
      [first.id, third.id, second.id],
    )
    for (const family of listed)
      expectFamily(t, family, familyIn(await store.families.look(family.id)), 'in full')
    t.strictSame(
      (await other.families.listOfUser(locator, 2)).map(({ id }) => id),
      [first.id, third.id],
    )
    t.strictSame(await other.families.listOfUser(userLocator(someUser().sub), 10), [], 'another has none')
  })

  await t.test('those of a client', async (t) => {
    const clientId = someUser().sub
    const mine = [await signedIn(store, { clientId }), await signedIn(store, { clientId })]
    await store.families.revoke(mine[0]?.begun.id ?? '', 'operator')
    const listed: string[] = []
    for await (const { family, user, now } of other.families.listOfClient(clientId)) {
      listed.push(family.id)
      const { family: looked, user: its } = await store.families.look(family.id)
      expectFamily(t, family, looked as Family, 'in full')
      t.strictSame(user, its)
      t.ok(now > 0)
    }
    t.strictSame(listed.sort(), mine.map(({ begun }) => begun.id).sort())
    for await (const _ of store.families.listOfClient('nobody')) t.fail('another has none')
  })

  await t.test('… whatever their lifetimes are', async (t) => {
    const { user, begun: patient } = await signedIn(store)
    await sleep(5)
    const brief = someFamily(user, { idleMs: 60_000, maxMs: 60_000 })
    await store.families.create(brief)
    const idsOf = async (limit: number) =>
      (await store.families.listOfUser(userLocator(user.sub), limit)).map(({ id }) => id)
    t.strictSame(await idsOf(10), [brief.id, patient.id])
    t.strictSame(
      await idsOf(1),
      [brief.id],
      'the limit keeps the one used last, not the one that lives longest',
    )
  })
}
