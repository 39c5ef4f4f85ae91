import type { Test } from 'tap'
import { newEpoch, newSub, type User, userLocator, withPassword } from '../../../src/accounts/user.ts'
import type { Store } from '../../../src/stores/contract.ts'
import { readAlong } from '../read-along.ts'
import { signedIn, someFamily, someUser, turn } from '../records.ts'

export async function testUsers(t: Test, store: Store, other: Store): Promise<void> {
  await t.test('a user is found as created, by every spelling of the name', async (t) => {
    const user = someUser({ username: 'Zoë Straße', disabled: true })
    t.equal(await store.users.findByUsername('Zoë Straße'), undefined, 'not before')
    t.equal(await store.users.create(user), 'created')
    for (const spelling of ['Zoë Straße', 'zoë straße', 'ZOË STRASSE', 'Zoe\u0308 Straße']) {
      t.strictSame(await store.users.findByUsername(spelling), user, spelling)
      t.strictSame(await other.users.findByUsername(spelling), user, spelling)
    }
    for (const name of ['Zoe Straße', 'Zoë', '', 'x'.repeat(10_000), '__proto__']) {
      t.equal(await store.users.findByUsername(name), undefined, name.slice(0, 20))
    }
  })

  await t.test('a name is given once, whatever its spelling', async (t) => {
    const user = someUser({ username: 'Émile' })
    t.equal(await store.users.create(user), 'created')
    for (const username of ['Émile', 'ÉMILE', 'émile', 'E\u0301mile']) {
      t.equal(await other.users.create(someUser({ username })), 'username_taken', username)
    }
    t.strictSame(await other.users.findByUsername('émile'), user)
  })

  await t.test('a sub is given once, and a name that was refused with it stays free', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const double = someUser({ sub: user.sub, username: `double of ${user.sub}` })
    t.equal(await store.users.create(double), 'sub_taken')
    t.equal(await store.users.findByUsername(double.username), undefined)
    t.strictSame(await store.users.findByUsername(user.username), user)
    t.equal(await store.users.create(someUser({ username: double.username })), 'created')
  })

  await t.test('of twenty who ask for one name at once, one gets it', async (t) => {
    for (let round = 0; round < 5; round += 1) {
      const { username } = someUser()
      const rivals = Array.from({ length: 20 }, () => someUser({ username }))
      const answers = await Promise.all(rivals.map((rival, i) => (i % 2 ? store : other).users.create(rival)))
      t.strictSame(
        answers.filter((answer) => answer !== 'username_taken'),
        ['created'],
      )
      t.strictSame(await store.users.findByUsername(username), rivals[answers.indexOf('created')])
      const subs = new Set(rivals.map(({ sub }) => sub))
      const listed = (await listOf(store)).filter(({ sub }) => subs.has(sub))
      t.strictSame(
        listed.map(({ sub }) => sub),
        [rivals[answers.indexOf('created')]?.sub],
      )
      const changed = await Promise.all(rivals.map(({ sub }) => store.users.change(sub, { disabled: true })))
      t.equal(changed.filter(Boolean).length, 1, 'and of the others there is no record')
    }
  })

  await t.test('a change replaces what it names, at once for everyone', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const seen = await readAlong(
      () => other.users.findByUsername(user.username),
      () => store.users.change(user.sub, { disabled: true, epoch: 7 }),
    )
    t.equal(seen.result, true)
    t.strictSame(seen.after, { ...user, disabled: true, epoch: 7 })
    t.ok(
      seen.during.every((found) => found?.disabled === (found?.epoch === 7)),
      'never half a change',
    )
    t.equal(await other.users.change(user.sub, { passwordHash: 'new' }), true)
    t.strictSame(await store.users.findByUsername(user.username), {
      ...user,
      disabled: true,
      epoch: 7,
      passwordHash: 'new',
    })
    t.equal(await store.users.change(user.sub, {}), true, 'also a change of nothing')
    const stranger = someUser()
    t.equal(await store.users.change(stranger.sub, { disabled: true }), false)
    t.equal(await store.users.change(stranger.sub, {}), false)
    t.equal(await store.users.findByUsername(stranger.username), undefined, 'none came of it')
  })

  await t.test('a user is found by sub', async (t) => {
    const user = someUser({ sub: `staff|${newEpoch()}`, username: `elsewhere ${newEpoch()}` })
    t.equal(await store.users.find(user.sub), undefined)
    await store.users.create(user)
    t.strictSame(await other.users.find(user.sub), user)
    t.equal(await store.users.find(''), undefined)
  })

  await t.test('a user without a password, who gets one', async (t) => {
    const { passwordHash = '', ...user } = someUser()
    await store.users.create(user)
    t.strictSame(await other.users.findByUsername(user.username), user)
    await store.users.change(user.sub, { passwordHash })
    t.strictSame(await other.users.findByUsername(user.username), { ...user, passwordHash })
  })

  await t.test('a change while the epoch is as it was', async (t) => {
    const user = someUser()
    await store.users.create(user)
    t.equal(await store.users.change(user.sub, { claims: { a: 1 } }, user.epoch), true)
    t.equal(await other.users.change(user.sub, { epoch: 5 }, user.epoch), true)
    t.equal(await store.users.change(user.sub, { claims: { a: 2 } }, user.epoch), false)
    t.equal(await store.users.change(user.sub, {}, 0), false)
    t.strictSame(await store.users.find(user.sub), { ...user, claims: { a: 1 }, epoch: 5 })
    t.equal(await store.users.change(someUser().sub, { claims: {} }, user.epoch), false)
  })

  await t.test('another name: the old one is free, sessions go on', async (t) => {
    const { user, begun } = await signedIn(store)
    const renamed = { ...user, username: `Married ${user.sub}` }
    t.equal(await store.users.rename(user, renamed.username), 'renamed')
    t.equal(await other.users.findByUsername(user.username), undefined)
    t.strictSame(await other.users.findByUsername(renamed.username.toUpperCase()), renamed)
    t.equal((await other.families.advance(turn(begun, 0))).applied, true)
    t.equal(await store.users.create(someUser({ username: user.username })), 'created')
    t.equal(await store.users.rename(renamed, user.username), 'username_taken')
    t.strictSame(await store.users.find(user.sub), renamed)
    const spelt = { ...user, username: renamed.username.toUpperCase() }
    t.equal(await other.users.rename(renamed, spelt.username), 'renamed', 'another spelling of its own')
    t.strictSame(await store.users.findByUsername(renamed.username), spelt)
    const listed = (await listOf(store)).filter(({ sub }) => sub === user.sub)
    t.strictSame(listed, [spelt], 'listed once')
    await store.users.delete(spelt)
    t.equal(await other.users.rename(spelt, `never ${user.sub}`), 'gone')
    t.equal(await store.users.findByUsername(`never ${user.sub}`), undefined)
    t.equal(await store.users.create(someUser({ username: `never ${user.sub}` })), 'created')
  })

  await t.test('a renaming by a name that is not the user’s any more sets both free', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const name = (which: string) => `${which} ${user.sub}`
    await store.users.rename(user, name('second'))
    t.equal(await other.users.rename(user, name('third')), 'renamed')
    t.equal(await store.users.findByUsername(user.username), undefined)
    t.equal(await store.users.findByUsername(name('second')), undefined)
    t.equal(await store.users.create(someUser({ username: name('second') })), 'created')
    t.equal(await store.users.rename({ ...user, username: name('second') }, name('third')), 'renamed')
    t.strictSame(await other.users.findByUsername(name('third')), { ...user, username: name('third') })
    t.ok(await store.users.findByUsername(name('second')), 'but not what is another’s by now')
  })

  await t.test('a deleted user is gone, and name and sub are free', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const seen = await readAlong(
      () => other.users.findByUsername(user.username),
      () => store.users.delete(user),
    )
    t.equal(seen.result, true)
    t.equal(seen.after, undefined)
    t.equal(await store.users.change(user.sub, { disabled: false }), false)
    t.equal(await store.users.delete(user), false)
    t.equal(await other.users.create(someUser({ username: user.username.toUpperCase() })), 'created')
    t.equal(await other.users.create({ ...someUser(), sub: user.sub }), 'created')
  })

  await t.test('deleting one user leaves another who has the name by now', async (t) => {
    const user = someUser()
    await store.users.create(user)
    await store.users.delete(user)
    const successor = someUser({ username: user.username })
    await store.users.create(successor)
    t.equal(await other.users.delete(user), false)
    t.strictSame(await store.users.findByUsername(user.username), successor)
  })

  await t.test('… or who has the name that it was renamed from, and sets its own free', async (t) => {
    const user = someUser()
    await store.users.create(user)
    const own = `second ${user.sub}`
    await other.users.rename(user, own)
    const successor = someUser({ username: user.username })
    await other.users.create(successor)
    const { username } = successor
    await other.networks.note(username, 'home', { networks: 2, ms: 60_000 })
    t.equal(await store.users.delete(user), true, 'by the record as it was before')
    t.strictSame(await other.users.findByUsername(username), successor)
    t.equal(await other.networks.isKnown(username, ['home'], 60_000), true, 'with the networks that it has')
    t.equal(await other.users.findByUsername(own), undefined)
    t.equal(await other.users.create(someUser({ username: own })), 'created')
  })

  await t.test('whatever ends an account ends its sessions with the same write', async (t) => {
    const endings: Record<string, (user: User) => Promise<unknown>> = {
      'another password': (user) => store.users.change(user.sub, withPassword(user, 'new')),
      'disabled, and enabled again': async (user) => {
        await store.users.change(user.sub, { disabled: true, epoch: newEpoch(user.epoch) })
        await store.users.change(user.sub, { disabled: false })
      },
      deleted: (user) => store.users.delete(user),
      'deleted, and made anew with the same sub': async (user) => {
        await store.users.delete(user)
        await store.users.create({ ...user, epoch: newEpoch(user.epoch) })
      },
    }
    for (const [what, end] of Object.entries(endings)) {
      const { user, begun } = await signedIn(store)
      t.equal((await other.families.advance(turn(begun, 0))).applied, true, 'it was well before')
      await end(user)
      const { applied, user: seen } = await other.families.advance(turn(begun, 1))
      t.equal(applied, false, what)
      t.not(seen?.epoch, begun.userEpoch, `${what}: the epoch says why`)
      t.equal(
        await store.families.create(someFamily(user)),
        undefined,
        `${what}: nor does a sign-in under way succeed`,
      )
    }
  })

  await t.test('a user is found by the sub, to the letter', async (t) => {
    const user = someUser({ sub: `auth0|${newSub()}` })
    t.equal(await store.users.find(user.sub), undefined, 'not before')
    await store.users.create(user)
    t.strictSame(await other.users.find(user.sub), user)
    t.equal(await other.users.find(user.sub.toUpperCase()), undefined)
    await store.users.delete(user)
    t.equal(await other.users.find(user.sub), undefined, 'nor after')
  })

  await t.test('many are created as each would be, in their order', async (t) => {
    const there = someUser()
    await store.users.create(there)
    const many = Array.from({ length: 600 }, (_, i) => someUser({ claims: { i }, disabled: i % 2 === 0 }))
    const [first, second, third] = many as [User, User, User]
    const asked = [
      ...many,
      someUser({ username: there.username.toUpperCase() }),
      someUser({ sub: there.sub }),
      someUser({ username: first.username }),
      someUser({ sub: second.sub }),
      third,
    ]
    const answers = await other.users.createMany(asked)
    t.strictSame(answers.slice(0, many.length), Array(many.length).fill('created'))
    t.strictSame(answers.slice(many.length), [
      'username_taken',
      'sub_taken',
      'username_taken',
      'sub_taken',
      'username_taken',
    ])
    for (const user of many) t.strictSame(await store.users.findByUsername(user.username), user)
    for (const user of asked.slice(many.length, -1)) {
      const found = await store.users.findByUsername(user.username)
      t.not(found?.epoch, user.epoch, 'what was refused left nothing')
    }
    t.strictSame(await store.users.createMany([]), [])
    const again = new Set(await store.users.createMany(many))
    t.strictSame([...again], ['username_taken'], 'a second time')
  })

  await t.test('of two who create many with the same names at once, each name goes to one', async (t) => {
    const names = Array.from({ length: 150 }, () => someUser().username)
    const rivals = [names, [...names].reverse()].map((all) => all.map((username) => someUser({ username })))
    const answers = await Promise.all(rivals.map((all, i) => (i ? store : other).users.createMany(all)))
    const winners = rivals.flatMap((all, i) => all.filter((_, j) => answers[i]?.[j] === 'created'))
    t.equal(winners.length, names.length)
    for (const user of winners) t.strictSame(await store.users.findByUsername(user.username), user)
    const losers = rivals.flat().filter((user) => !winners.includes(user))
    for (const { sub } of losers) t.equal(await store.users.find(sub), undefined, 'no record of a loser')
  })

  await t.test('a hash is replaced once, and only under the hash and the epoch that were read', async (t) => {
    const { user, begun } = await signedIn(store)
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? store : other).users.replaceHash(user, `new ${i}`)),
    )
    t.equal(answers.filter(Boolean).length, 1)
    const replaced = await other.users.find(user.sub)
    t.strictSame(replaced, { ...user, passwordHash: `new ${answers.indexOf(true)}` }, 'and nothing else')
    t.equal((await store.families.advance(turn(begun, 0))).applied, true, 'sessions go on')

    const read = replaced as Required<User>
    await store.users.change(user.sub, { epoch: newEpoch(user.epoch) })
    t.equal(await other.users.replaceHash(read, 'newer'), false, 'the epoch has moved')
    await store.users.delete(user)
    t.equal(await other.users.replaceHash(read, 'newer'), false, 'the user is gone')
    t.equal(await store.users.find(user.sub), undefined, 'and does not come back')
  })

  await t.test('the list has every user once', async (t) => {
    const users = Array.from({ length: 30 }, () => someUser())
    await Promise.all(users.map((user) => store.users.create(user)))
    const [deleted, ...kept] = users as [User, ...User[]]
    await store.users.delete(deleted)
    const ours = new Set(users.map(({ sub }) => sub))
    const listed = await listOf(other)
    const bySub = (a: User, b: User) => a.sub.localeCompare(b.sub)
    t.strictSame(listed.filter(({ sub }) => ours.has(sub)).sort(bySub), kept.sort(bySub))
    t.equal(new Set(listed.map(({ sub }) => sub)).size, listed.length)
    t.strictSame(await store.families.listOfUser(userLocator(deleted.sub), 10), [])
  })
}

async function listOf(store: Store): Promise<User[]> {
  const users: User[] = []
  for await (const user of store.users.list()) users.push(user)
  return users
}
