import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { newEpoch, type User, userLocator } from '../../../src/accounts/user.ts'
import type { NewFamily, Store } from '../../../src/stores/contract.ts'
import { familyIn, someFamily, someUser, turn } from '../records.ts'

export async function testSessionCap(t: Test, store: Store, other: Store): Promise<void> {
  const begin = async (user: User, members: Partial<NewFamily> = {}, handle = store) => {
    const begun = someFamily(user, members)
    const answer = await handle.families.create(begun)
    if (!answer) throw new Error('the store did not begin the family')
    // So that each was used at a time of its own.
    await sleep(2)
    return { ...answer, begun, id: begun.id }
  }
  const newUser = async () => {
    const user = someUser()
    await store.users.create(user)
    return user
  }
  const living = async (user: User) => {
    const listed = await other.families.listOfUser(userLocator(user.sub), 1000)
    return listed.filter(({ revoked }) => !revoked).map(({ id }) => id)
  }

  await t.test('beyond the cap the session longest unused is ended', async (t) => {
    const user = await newUser()
    const first = await begin(user, { maxSessions: 3 })
    const second = await begin(user, { maxSessions: 3, idleMs: 3_600_000 }, other)
    const third = await begin(user, { maxSessions: 3, idleMs: 60_000 })
    t.strictSame([first.ended, second.ended, third.ended], [[], [], []])
    await store.families.advance(turn(first.begun, 0))

    const fourth = await begin(user, { maxSessions: 3 })
    t.strictSame(fourth.ended, [second.id], 'neither the oldest nor the one that would expire first')
    const { family, now } = await other.families.look(second.id)
    t.match(family?.revoked, { reason: 'cap', at: fourth.createdAt }, 'its record says why')
    t.ok(now >= fourth.createdAt)
    const refused = await other.families.advance(turn(second.begun, 0))
    t.match(refused, { applied: false, family: { revoked: { reason: 'cap' } } })
    t.equal(await store.families.revoke(second.id, 'operator'), 'already_revoked')
    t.strictSame(new Set(await living(user)), new Set([first.id, third.id, fourth.id]))
    t.strictSame((await begin(user, { maxSessions: 3 }, other)).ended, [third.id])
  })

  await t.test('what has ended before does not count', async (t) => {
    const user = await newUser()
    const kept = await begin(user, { maxSessions: 2 })
    for (let i = 0; i < 3; i += 1) {
      const { id } = await begin(user, { maxSessions: 2 })
      await store.families.revoke(id, 'client')
    }
    await begin(user, { maxSessions: 2, idleMs: 1 })
    await sleep(20)
    t.strictSame((await begin(user, { maxSessions: 2 })).ended, [])
    t.equal(familyIn(await store.families.look(kept.id)).revoked, undefined)

    const epoch = newEpoch(user.epoch)
    await store.users.change(user.sub, { epoch })
    const signedOut = { ...user, epoch }
    for (let i = 0; i < 2; i += 1) t.strictSame((await begin(signedOut, { maxSessions: 2 })).ended, [])
    t.equal((await begin(signedOut, { maxSessions: 2 })).ended.length, 1)
  })

  await t.test('nor does what was ended with all sessions of its client', async (t) => {
    const user = await newUser()
    const elsewhere = await begin(user, { clientId: 'app', maxSessions: 3 })
    await begin(user, { maxSessions: 3 })
    await begin(user, { maxSessions: 3 })
    // As the client has it from then on.
    const clientEpoch = 23
    const begun = await begin(user, { clientEpoch, maxSessions: 3 }, other)
    t.strictSame(begun.ended, [], 'no session of another client is ended for them')
    const second = await begin(user, { clientEpoch, maxSessions: 3 })
    t.strictSame(second.ended, [])
    t.strictSame((await begin(user, { clientEpoch, maxSessions: 3 })).ended, [elsewhere.id])
    t.equal((await store.families.advance(turn(begun.begun, 0))).applied, true)
  })

  await t.test('a sign-in without a cap ends nothing, and one with a lower cap ends more', async (t) => {
    const user = await newUser()
    const sessions: string[] = []
    for (let i = 0; i < 10; i += 1) sessions.push((await begin(user, i % 2 ? { maxSessions: 0 } : {})).id)
    const { ended, id } = await begin(user, { maxSessions: 4 }, other)
    t.strictSame(ended, sessions.slice(0, 7))
    t.strictSame(new Set(await living(user)), new Set([...sessions.slice(7), id]))
    const one = await begin(user, { maxSessions: 1 })
    t.strictSame(await living(user), [one.id])
  })

  await t.test('what cannot be refreshed is listed, not counted, and ends nothing', async (t) => {
    const user = await newUser()
    const brief: string[] = []
    const ended: string[] = []
    const signIn = async (members: Partial<NewFamily>) => {
      const begun = await begin(user, { maxSessions: 2, ...members })
      ended.push(...begun.ended)
      return begun.id
    }
    for (let i = 0; i < 3; i += 1) brief.push(await signIn({ isBrief: true }))
    const first = await signIn({})
    brief.push(await signIn({ isBrief: true }))
    const second = await signIn({})
    for (let i = 0; i < 3; i += 1) brief.push(await signIn({ isBrief: true }))
    t.strictSame(ended, [])
    t.strictSame(new Set(await living(user)), new Set([...brief, first, second]))
    const { family } = await other.families.look(brief[0]!)
    t.match(family, { isBrief: true })
    const copied = { ...familyIn(await store.families.look(second)), id: someFamily(user).id, isBrief: true }
    t.equal(await store.families.adopt(copied), true, 'nor is one of another store')
    t.equal((await living(user)).includes(copied.id), true)
    await signIn({})
    t.strictSame(ended, [first])
  })

  await t.test('many at once', async (t) => {
    const user = await newUser()
    const families = Array.from({ length: 40 }, () => someFamily(user, { maxSessions: 5 }))
    const begun = await Promise.all(
      families.map((family, i) => (i % 2 ? store : other).families.create(family)),
    )
    t.equal(begun.filter(Boolean).length, 40)
    t.equal((await living(user)).length, 5)
    const ended = begun.flatMap((one) => one?.ended ?? [])
    t.equal(new Set(ended).size, 35, 'each was ended once')
    t.equal(ended.length, 35)
  })

  await t.test('a user of the same sub begins anew', async (t) => {
    const user = await newUser()
    await begin(user, { maxSessions: 2 })
    await begin(user, { maxSessions: 2 })
    await other.users.delete(user)
    await store.users.create({ ...user, epoch: newEpoch(user.epoch) })
    const again = { ...user, epoch: (await store.users.findByUsername(user.username))?.epoch ?? 0 }
    t.strictSame((await begin(again, { maxSessions: 2 })).ended, [])
  })
}
