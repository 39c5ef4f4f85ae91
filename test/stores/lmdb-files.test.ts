import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import { type Test, test } from 'tap'
import { userLocator, usernameKey } from '../../src/accounts/user.ts'
import { recordOf } from '../../src/audit/event.ts'
import { BATCHES, type NewFamily } from '../../src/stores/contract.ts'
import { openDatabases, openLmdbStore } from '../../src/stores/lmdb/store.ts'
import { sweepOnce } from '../../src/stores/lmdb/sweep.ts'
import { lmdbWrites, roomIn } from '../../src/stores/lmdb/writes.ts'
import { gather } from '../../src/stores/sound-records.ts'
import type { Family } from '../../src/tokens/family.ts'
import { nextMessage } from '../support/next-message.ts'
import { until } from '../support/until.ts'
import { openHandle } from './handles.ts'
import { atFirst, familyIn, signedIn, someFamily, someUser, turn } from './records.ts'

const SIGN_IN = fileURLToPath(new URL('./sign-in.js', import.meta.url))
const NOW = 1_700_000_000_000

/** The databases themselves, as the store sees them. */
function openRaw(t: Test, path: string) {
  const root = open({ path, noSubdir: false, maxDbs: 8, overlappingSync: false } as Parameters<
    typeof open
  >[0])
  t.teardown(() => root.close())
  return { root, databases: openDatabases(root), durably: <T>(change: () => T) => root.transaction(change) }
}

/** As many families as there are ends. */
function familiesThatEndAt(ends: readonly number[]): Family[] {
  const user = someUser()
  return ends.map((expiresAt) => ({ ...atFirst(someFamily(user), NOW - 10_000), expiresAt }))
}

test('the folder is made, for this user alone', async (t) => {
  const folder = join(t.testdir(), 'not', 'there', 'yet')
  const store = await openHandle(t, `lmdb:${folder}`)
  await store.users.create(someUser())
  t.equal(statSync(folder).mode & 0o777, 0o700)
  const modes = readdirSync(folder).map((file) => [
    file,
    (statSync(join(folder, file)).mode & 0o777).toString(8),
  ])
  t.strictSame(Object.fromEntries(modes), { 'data.mdb': '600', 'lock.mdb': '600' })
})

test('a folder that others may enter holds files that they may not read', async (t) => {
  const folder = t.testdir()
  chmodSync(folder, 0o755)
  await openHandle(t, `lmdb:${folder}`)
  for (const file of readdirSync(folder)) t.equal(statSync(join(folder, file)).mode & 0o077, 0, file)
})

test('what is no store is refused', async (t) => {
  const dir = t.testdir({
    file: 'x',
    text: { 'data.mdb': 'x'.repeat(100_000) },
    short: { 'data.mdb': 'x' },
    zeros: { 'data.mdb': Buffer.alloc(32_768) },
  })
  t.throws(() => openLmdbStore(join(dir, 'file')), { message: join(dir, 'file') })
  // In processes of their own: LMDB has been seen to crash.
  for (const name of ['text', 'short', 'zeros']) {
    const child = fork(SIGN_IN, [`lmdb:${join(dir, name)}`], { execArgv: [], stdio: 'pipe' })
    const [stderr, [code, signal]] = await Promise.all([text(child.stderr as Readable), once(child, 'exit')])
    t.strictSame({ code, signal }, { code: 1, signal: null }, `${name}: an error, no crash`)
    t.match(stderr, join(dir, name), `${name}: it names the folder`)
  }
})

test('what was answered is there after the process was killed', async (t) => {
  const folder = join(t.testdir(), 'data')
  mkdirSync(folder)
  const child = fork(SIGN_IN, [`lmdb:${folder}`], { execArgv: [] })
  const begun = await nextMessage<NewFamily>(child)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const store = await openHandle(t, `lmdb:${folder}`)
  const { family, user } = await store.families.look(begun.id)
  t.match(family, { id: begun.id, generation: 1 })
  t.equal(user?.epoch, begun.userEpoch)
  t.equal((await store.families.advance(turn(begun, 1))).applied, true, 'and the session goes on')
})

test('closing one handle leaves the others', async (t) => {
  const url = `lmdb:${join(t.testdir(), 'data')}`
  const [one, other] = [await openHandle(t, url), await openHandle(t, url)]
  const { begun } = await signedIn(one)
  await one.close()
  t.equal((await other.families.advance(turn(begun, 0))).applied, true)
  t.equal(familyIn(await other.families.look(begun.id)).generation, 1)
  const again = await openHandle(t, url)
  t.equal(familyIn(await again.families.look(begun.id)).generation, 1)
})

test('a store that could not be opened is not left open', async (t) => {
  const folder = t.testdir()
  // Whoever opens it next in this process shares this environment, which has no room for all databases.
  const root = open({ path: folder, noSubdir: false, maxDbs: 2, overlappingSync: false })
  t.throws(() => openLmdbStore(folder), { message: /DBS_FULL/ })
  await root.close()
  const store = await until('it is closed', () => {
    try {
      return openLmdbStore(folder, false)
    } catch {
      return false
    }
  })
  t.equal(await store.users.create(someUser()), 'created')
  await store.close()
})

test('the sweep removes what has ended, and only that', async (t) => {
  const { databases, durably } = openRaw(t, t.testdir())
  const families = familiesThatEndAt([NOW - 1000, NOW - 1, NOW, NOW + 1, NOW + 1000])
  await durably(() => families.forEach((family) => void databases.families.put(family.id, family)))
  const user = someUser()
  await databases.users.put('locator', user)
  t.equal(await sweepOnce(databases.families, durably, '', NOW), '')
  t.strictSame(
    families.map(({ id }) => databases.families.doesExist(id)),
    [false, false, false, true, true],
  )
  t.strictSame(databases.users.get('locator'), user)
  t.equal(await sweepOnce(databases.families, durably, '', NOW), '', 'nothing more to do')
  t.equal(databases.families.count(), 2)
})

test('it goes through a bounded part at a time, and on from there', async (t) => {
  const { databases, durably } = openRaw(t, t.testdir())
  const families = familiesThatEndAt(Array.from({ length: 2500 }, (_, i) => (i % 2 ? NOW - 1 : NOW + 1)))
  await durably(() => families.forEach((family) => void databases.families.put(family.id, family)))
  const counts: number[] = []
  let from = ''
  do {
    from = await sweepOnce(databases.families, durably, from, NOW)
    counts.push(databases.families.count())
  } while (from !== '' && counts.length < 10)
  t.ok(counts.length >= 3, `${counts.length} parts: ${counts.join(' ')} were left`)
  t.ok(
    counts.every((count, i) => (counts[i - 1] ?? 2500) - count <= 1000),
    'none removes more than its part',
  )
  t.strictSame(
    [...databases.families.getRange()].map(({ key }) => key),
    families
      .filter(({ expiresAt }) => expiresAt > NOW)
      .map(({ id }) => id)
      .sort(),
  )
})

test('it resumes also where the family it stopped at is gone', async (t) => {
  const { databases, durably } = openRaw(t, t.testdir())
  const families = familiesThatEndAt(Array.from({ length: 1500 }, () => NOW - 1))
  await durably(() => families.forEach((family) => void databases.families.put(family.id, family)))
  const from = await sweepOnce(databases.families, durably, '', NOW)
  t.not(from, '')
  t.notOk(databases.families.doesExist(from))
  t.equal(await sweepOnce(databases.families, durably, from, NOW), '')
  t.equal(databases.families.count(), 0)
})

test('a family whose end was moved meanwhile stays', async (t) => {
  const { databases, durably } = openRaw(t, t.testdir())
  const [ended] = familiesThatEndAt([NOW - 1]) as [Family]
  await databases.families.put(ended.id, ended)
  const renewed = durably(() => void databases.families.put(ended.id, { ...ended, expiresAt: NOW + 1 }))
  // The sweep reads what is there now, and is next in the queue of writers.
  const sweep = sweepOnce(databases.families, durably, '', NOW)
  await Promise.all([renewed, sweep])
  t.ok(databases.families.doesExist(ended.id))
})

test('the sweep removes a counter that cannot be read, and leaves a session', async (t) => {
  const { databases, durably } = openRaw(t, t.testdir())
  const { families, attempts } = databases
  const spoilt = { expiresAt: 'never' } as never
  await families.put('a session', spoilt)
  await attempts.put('total', spoilt)
  await attempts.put('of no window', { expiresAt: 9e300, counters: {} })
  await attempts.put('of this window', { expiresAt: NOW + 1, counters: {} })
  t.equal(await sweepOnce(families, durably, '', NOW), '')
  t.equal(await sweepOnce(attempts, durably, '', NOW, 'removed'), '')
  t.strictSame([...families.getKeys()], ['a session'])
  t.strictSame([...attempts.getKeys()], ['of this window'])
})

test('what is damaged beside a session keeps nobody out', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { databases } = openRaw(t, folder)
  const { user, begun } = await signedIn(store)
  const locator = begun.id.slice(0, 12)
  for (const index of ['garbage', [1, null], { a: 1 }, [someFamily(someUser()).id]]) {
    await databases.sessions.put(locator, index as never)
    const next = someFamily(user, { maxSessions: 1 })
    t.equal((await store.families.create(next))?.ended.length, 1, JSON.stringify(index))
    t.strictSame(databases.sessions.get(locator), [next.id], 'and the index is made anew')
  }
  const name = usernameKey(user.username)
  await databases.usernames.put(name, 'garbage')
  await t.rejects(store.users.findByUsername(user.username), { message: /damaged/ })
  t.equal(await store.users.deleteUnread(user.username), true)
  t.notOk(databases.users.doesExist(locator))
  t.equal(await store.users.create(user), 'created')
  const charge = { subject: 'ada', counter: 'failed', limit: 5 }
  await databases.attempts.put('ada', { expiresAt: 'never' } as never)
  await t.rejects(store.attempts.count(charge, 1000), { message: /damaged/ })
  t.equal(await store.attempts.forget('ada'), true)
  t.equal(await store.attempts.count(charge, 1000), undefined)
})

test('a session whose user is damaged can be ended, and taken over', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { databases } = openRaw(t, folder)
  const { user, begun } = await signedIn(store)
  const held = familyIn(await store.families.look(begun.id))
  await databases.users.put(userLocator(user.sub), 'garbage' as never)
  await t.rejects(store.families.look(begun.id), { cause: { message: /the user at/ } })
  t.equal(await store.families.adopt({ ...held, generation: 3 }), true)
  await store.families.noteReplay(begun.id, held.lockstep)
  t.equal(await store.families.revoke(begun.id, 'operator'), 'revoked')
  t.equal(await store.families.revoke(begun.id, 'operator'), 'already_revoked')
  t.match(databases.families.get(begun.id), { generation: 3, replays: 1, revoked: { reason: 'operator' } })
})

test('a name whose user has no record is free', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { databases } = openRaw(t, folder)
  const [first, second] = [someUser(), someUser()]
  for (const { sub, username } of [first, second])
    await databases.usernames.put(usernameKey(username), userLocator(`deleted ${sub}`))
  t.equal(await store.users.create(first), 'created')
  t.strictSame(await store.users.findByUsername(first.username), first)
  t.equal(await store.users.rename(first, second.username), 'renamed')
  t.equal(await store.users.create(second), 'username_taken', 'and is somebody’s again')
})

test('a user is deleted, whose record or name is damaged by then', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { databases } = openRaw(t, folder)
  const { users, usernames } = databases
  const [unread, unnamed] = [someUser(), someUser()]
  await store.users.createMany([unread, unnamed])
  await users.put(userLocator(unread.sub), 'garbage' as never)
  await usernames.put(usernameKey(unnamed.username), 'garbage')
  for (const user of [unread, unnamed]) {
    t.equal(await store.users.delete(user), true)
    users.resetReadTxn()
    t.notOk(users.doesExist(userLocator(user.sub)))
    t.notOk(usernames.doesExist(usernameKey(user.username)))
  }
})

test('no refresh is before the sign-in, whatever the clock says', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { databases } = openRaw(t, folder)
  const { begun } = await signedIn(store)
  const createdAt = Date.now() + 60_000
  const family = { ...familyIn(await store.families.look(begun.id)), createdAt, rotatedAt: createdAt }
  await databases.families.put(begun.id, family)
  t.equal((await store.families.advance(turn(begun, 0))).applied, true)
  t.equal(familyIn(await store.families.look(begun.id)).rotatedAt, createdAt)
})

test('a clock that was set back keeps nobody out for longer than a window', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { attempts } = openRaw(t, folder).databases
  const charges = [{ subject: 'ada', counter: 'failed', limit: 2 }]
  const windowMs = 60_000
  const counting = { windowMs, pendingMs: 100 }
  const brief = { ...counting, windowMs: 600 }
  const endsIn = () => {
    attempts.resetReadTxn()
    return attempts.get('ada')!.expiresAt - Date.now()
  }
  /** Counters of an hour ago, by a clock that was an hour ahead. */
  const chargedAhead = (charged: number) => {
    const pending = BATCHES.map(() => ({ count: 0, until: 0 }))
    return attempts.put('ada', {
      expiresAt: Date.now() + 3_600_000,
      counters: { failed: { charged, pending } },
    })
  }
  await chargedAhead(2)
  t.match(await store.attempts.reserve(charges, counting), { state: 'spent', retryAfterMs: windowMs })
  t.ok(endsIn() <= windowMs)
  t.match(await store.attempts.reserve(charges, counting), { state: 'spent' }, 'nothing is given back')
  await until('the window is over', async () => !(await store.attempts.reserve(charges, brief)))
  await chargedAhead(1)
  t.equal(await store.attempts.reserve(charges, counting), undefined)
  t.ok(endsIn() <= windowMs, 'where there is room, too')
  await chargedAhead(1)
  await store.attempts.settle(charges, 'failed', counting)
  t.ok(endsIn() <= windowMs, 'and where one is settled')
})

test('one audit event that is damaged keeps no other from being listed', async (t) => {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  t.teardown(() => store.close())
  const { root } = openRaw(t, folder)
  const records = ['one', 'two', 'three', 'four'].map((sub) => recordOf({ event: 'user.changed', sub }))
  await store.audit.append(records, 100)
  // As a disk would: what is read is not what was written.
  await root.openDB<Buffer, number>({ name: 'audit', encoding: 'binary' }).put(2, Buffer.alloc(40))
  const listOf = async (after?: string) => {
    const { found, fault } = await gather(store.audit.list(after))
    return [found.map(({ record }) => record), fault?.cause]
  }
  const named = { message: /audit event 2 cannot be read/ }
  t.match(await listOf(), [[records[0], records[2], records[3]], named])
  t.match(await listOf('1'), [[records[2], records[3]], named])
  t.strictSame(await listOf('2'), [[records[2], records[3]], undefined], 'beyond it there is nothing to tell')
  await store.audit.append([records[0]!], 2)
  t.strictSame(await listOf(), [[records[3], records[0]], undefined], 'it makes room as any other')
})

test('without room on the disk nothing is written, and what is there can be read', async (t) => {
  const folder = t.testdir()
  const { root, databases } = openRaw(t, folder)
  t.equal(roomIn(folder)(), true, 'there is room here')
  t.equal(roomIn(folder, Number.MAX_SAFE_INTEGER)(), false, 'and on no disk for so much')
  let hasRoom = true
  const { durably, committed } = lmdbWrites(root, folder, () => hasRoom)
  const user = someUser()
  await durably(() => databases.users.put('one', user))
  hasRoom = false
  for (const write of [durably, committed]) {
    await t.rejects(
      write(() => databases.users.put('two', user)),
      { cause: { message: 'the disk is full' } },
    )
  }
  hasRoom = true
  const asked = committed(() => databases.users.put('two', user))
  hasRoom = false
  await t.rejects(asked, { cause: { message: 'the disk is full' } }, 'nor when that shows while it waits')
  t.strictSame([...databases.users.getKeys()], ['one'])
  hasRoom = true
  await committed(() => databases.users.put('two', user))
  t.strictSame([...databases.users.getKeys()], ['one', 'two'], 'as soon as there is room again')
})

test('a store in use sweeps by itself', async (t) => {
  const folder = join(t.testdir(), 'data')
  const still = openLmdbStore(folder, false)
  t.teardown(() => still.close())
  const [ended, living] = [await signedIn(still, { idleMs: 50 }), await signedIn(still)]
  const { databases } = openRaw(t, folder)
  t.ok(databases.families.doesExist(ended.begun.id))
  await openHandle(t, `lmdb:${folder}`)
  await until('the ended family is gone from the disk', () => !databases.families.doesExist(ended.begun.id))
  t.ok(databases.families.doesExist(living.begun.id))
})
