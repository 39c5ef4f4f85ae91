import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Batch, Charge, Refusal, Store } from '../../../src/stores/contract.ts'
import { until } from '../../support/until.ts'
import { someUser } from '../records.ts'

const MINUTE = { windowMs: 60_000, pendingMs: 30_000 }

/** A charge of a subject of its own, unless told otherwise. */
function charge(limit: number, members: Partial<Charge> = {}): Charge {
  return { subject: `test:${randomUUID()}`, counter: 'all', limit, ...members }
}

const stateOf = (refusal: Refusal | undefined) => refusal && [refusal.at, refusal.state]

export async function testAttempts(t: Test, store: Store, other: Store): Promise<void> {
  const { attempts } = store

  await t.test('a budget is held by what is pending, and spent by what has failed', async (t) => {
    const two = [charge(2)]
    t.equal(await attempts.reserve(two, MINUTE), undefined)
    t.equal(await other.attempts.reserve(two, MINUTE), undefined)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'pending'])
    await other.attempts.settle(two, 'failed', MINUTE)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'pending'], 'one may still go well')
    await attempts.settle(two, 'given_back', MINUTE)
    t.equal(await other.attempts.reserve(two, MINUTE), undefined, 'it did')
    await attempts.settle(two, 'failed', MINUTE)
    const refusal = await other.attempts.reserve(two, MINUTE)
    t.strictSame(stateOf(refusal), [0, 'spent'])
    const { retryAfterMs = 0 } = refusal ?? {}
    t.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_000, `for ${retryAfterMs} ms more`)
  })

  await t.test('all budgets are charged, or none', async (t) => {
    const [wide, narrow] = [charge(3), charge(1)]
    t.equal(await attempts.reserve([wide, narrow], MINUTE), undefined)
    await attempts.settle([wide, narrow], 'failed', MINUTE)
    for (let i = 0; i < 5; i += 1)
      t.strictSame(stateOf(await attempts.reserve([wide, narrow], MINUTE)), [1, 'spent'])
    t.equal(await attempts.reserve([wide], MINUTE), undefined, 'the wide one was charged once')
    t.equal(await attempts.reserve([wide], MINUTE), undefined)
    t.strictSame(stateOf(await attempts.reserve([wide], MINUTE)), [0, 'pending'])
    t.strictSame(
      stateOf(await attempts.reserve([wide, narrow], MINUTE)),
      [1, 'spent'],
      'spent comes before pending',
    )
  })

  await t.test('counters of one subject are apart', async (t) => {
    const one = charge(1)
    const another = { ...one, counter: '192.0.2.0/24' }
    t.equal(await attempts.reserve([one, another], MINUTE), undefined, 'both in one attempt')
    await attempts.settle([one, another], 'failed', MINUTE)
    t.strictSame(stateOf(await attempts.reserve([one], MINUTE)), [0, 'spent'])
    t.strictSame(stateOf(await attempts.reserve([another], MINUTE)), [0, 'spent'])
    t.equal(await attempts.reserve([{ ...one, counter: 'third' }], MINUTE), undefined)
  })

  await t.test('a newcomer has more room', async (t) => {
    const subject = charge(0).subject
    const from = (network: string): Charge[] => [
      { subject, counter: network, limit: 5 },
      { subject, counter: 'all', limit: 2, newcomers: { limit: 4, emptyAt: 0 } },
    ]
    const fail = async (network: string) => {
      const refusal = await attempts.reserve(from(network), MINUTE)
      if (!refusal) await attempts.settle(from(network), 'failed', MINUTE)
      return stateOf(refusal)
    }
    t.strictSame([await fail('a'), await fail('a'), await fail('a')], [undefined, undefined, [1, 'spent']])
    t.strictSame([await fail('b'), await fail('b')], [undefined, [1, 'spent']])
    t.strictSame([await fail('c'), await fail('c')], [undefined, [1, 'spent']])
    t.strictSame(await fail('d'), [1, 'spent'], 'and that room is bounded as well')
  })

  await t.test('a newcomer waits for its own first attempt, and one is let through at a time', async (t) => {
    const subject = charge(0).subject
    const from = (network: string): Charge[] => [
      { subject, counter: network, limit: 5 },
      { subject, counter: 'all', limit: 2, newcomers: { limit: 4, emptyAt: 0 } },
    ]
    for (const stranger of ['a', 'b']) {
      await attempts.reserve(from(stranger), MINUTE)
      await attempts.settle(from(stranger), 'failed', MINUTE)
    }
    t.equal(await attempts.reserve(from('own'), MINUTE), undefined)
    t.strictSame(stateOf(await other.attempts.reserve(from('own'), MINUTE)), [1, 'pending'])
    t.equal(await other.attempts.reserve(from('c'), MINUTE), undefined, 'nobody else waits for it')
    await attempts.settle(from('c'), 'given_back', MINUTE)
    t.strictSame(stateOf(await attempts.reserve(from('a'), MINUTE)), [1, 'spent'], 'but for whom it is spent')
    await attempts.settle(from('own'), 'given_back', MINUTE)
    t.equal(await other.attempts.reserve(from('own'), MINUTE), undefined, 'it went well')
    await attempts.settle(from('own'), 'failed', MINUTE)
    t.strictSame(stateOf(await other.attempts.reserve(from('own'), MINUTE)), [1, 'spent'])
  })

  await t.test('of five hundred at once, as many get through as the budget has', async (t) => {
    const charges = [charge(1000), charge(7)]
    const asked = Array.from({ length: 500 }, (_, i) => (i % 2 ? store : other))
    const answers = await Promise.all(asked.map((one) => one.attempts.reserve(charges, MINUTE)))
    t.equal(answers.filter((refusal) => refusal === undefined).length, 7)
    t.ok(answers.every((refusal) => refusal === undefined || refusal.state === 'pending'))
    await Promise.all(Array.from({ length: 7 }, () => other.attempts.settle(charges, 'failed', MINUTE)))
    t.strictSame(stateOf(await attempts.reserve(charges, MINUTE)), [1, 'spent'])
  })

  await t.test('what nobody settles is forgotten', async (t) => {
    const two = [charge(2)]
    const brief = { windowMs: 60_000, pendingMs: 300 }
    await attempts.reserve(two, MINUTE)
    await attempts.reserve(two, MINUTE)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'pending'])
    // The last of a batch says how long all of it may be pending.
    await attempts.settle(two, 'given_back', MINUTE)
    await attempts.reserve(two, brief)
    await until('there is room', async () => !(await other.attempts.reserve(two, { ...MINUTE, batch: 1 })))
    await attempts.settle(two, 'failed', brief)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'pending'], 'a late failure is charged')
    await other.attempts.settle(two, 'given_back', brief)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'pending'], 'nothing is late given back')
    await attempts.settle(two, 'given_back', { ...MINUTE, batch: 1 })
    await attempts.settle(two, 'failed', brief)
    t.strictSame(stateOf(await attempts.reserve(two, MINUTE)), [0, 'spent'])
  })

  await t.test('nor does it stay pending while others come and go', async (t) => {
    const two = [charge(2)]
    const others = async (batch: Batch) => {
      const refusal = await other.attempts.reserve(two, { ...MINUTE, batch })
      if (!refusal) await attempts.settle(two, 'given_back', { ...MINUTE, batch })
      return refusal
    }
    await attempts.reserve(two, MINUTE)
    await attempts.reserve(two, { ...MINUTE, batch: 2 })
    t.strictSame(stateOf(await others(1)), [0, 'pending'])
    for (const batch of [0, 2] as const) await attempts.settle(two, 'given_back', { ...MINUTE, batch })
    await attempts.reserve(two, { windowMs: 60_000, pendingMs: 600 })
    const end = performance.now() + 900
    while (performance.now() < end) {
      t.equal(await others(1), undefined)
      await sleep(20)
    }
    await attempts.reserve(two, { ...MINUTE, batch: 2 })
    t.equal(await others(1), undefined, 'the first holds nothing any more')
  })

  await t.test('what is said twice gives no failure back', async (t) => {
    const three = [charge(3)]
    for (let i = 0; i < 3; i += 1) await attempts.reserve(three, MINUTE)
    await attempts.settle(three, 'failed', MINUTE)
    await attempts.settle(three, 'given_back', MINUTE)
    await other.attempts.settle(three, 'given_back', MINUTE)
    await other.attempts.settle(three, 'given_back', MINUTE)
    await attempts.settle(three, 'failed', MINUTE)
    t.equal(await attempts.reserve(three, MINUTE), undefined, 'two have failed')
    t.strictSame(stateOf(await attempts.reserve(three, MINUTE)), [0, 'pending'])
    const one = [charge(1)]
    await attempts.reserve(one, MINUTE)
    await attempts.settle(one, 'given_back', MINUTE)
    await attempts.settle(one, 'failed', MINUTE)
    t.strictSame(
      stateOf(await attempts.reserve(one, MINUTE)),
      [0, 'spent'],
      'nor keeps one from being charged',
    )
  })

  await t.test('a window ends, and what fails later begins another', async (t) => {
    const one = [charge(1)]
    const brief = { windowMs: 400, pendingMs: 30_000 }
    const begin = Date.now()
    await attempts.reserve(one, brief)
    await until('it is over', async () => (await other.attempts.reserve(one, MINUTE)) === undefined)
    t.ok(Date.now() - begin >= 395)
    const late = [charge(1)]
    await attempts.reserve(late, { ...brief, windowMs: 1 })
    await sleep(20)
    await attempts.settle(late, 'given_back', brief)
    t.equal(await attempts.forget(late[0]!.subject), false)
    await attempts.settle(late, 'failed', MINUTE)
    const refusal = await attempts.reserve(late, MINUTE)
    t.strictSame(stateOf(refusal), [0, 'spent'])
    t.ok((refusal?.retryAfterMs ?? 0) > 1000, 'for a window of its own')
    // Which whoever comes with a shorter one cuts.
    await until('that is over', async () => (await other.attempts.reserve(late, brief)) === undefined)
  })

  await t.test('failures that have happened', async (t) => {
    const two = charge(2)
    const answers = [await attempts.count(two, 60_000), await other.attempts.count(two, 60_000)]
    t.strictSame(answers, [undefined, undefined])
    t.strictSame(stateOf(await attempts.count(two, 60_000)), [0, 'spent'])
  })

  await t.test('forgotten', async (t) => {
    const one = charge(1)
    const others = [one, { ...one, counter: 'another' }]
    t.equal(await attempts.forget(one.subject), false, 'nothing yet')
    await attempts.reserve(others, MINUTE)
    await attempts.settle(others, 'given_back', MINUTE)
    t.equal(await attempts.forget(one.subject), false, 'what went well leaves nothing')
    await attempts.reserve(others, MINUTE)
    await attempts.settle(others, 'failed', MINUTE)
    t.equal(await other.attempts.forget(one.subject), true)
    t.equal(await attempts.reserve(others, MINUTE), undefined)
  })
}

export async function testNetworks(t: Test, store: Store, other: Store): Promise<void> {
  const memory = { networks: 3, ms: 60_000 }
  const isKnown = (username: string, ...digests: string[]) =>
    other.networks.isKnown(username, digests, 60_000)

  await t.test('a network that was noted is known, by every spelling of the name', async (t) => {
    const name = `Zoë ${randomUUID()}`
    t.equal(await isKnown(name, 'a'), false)
    await store.networks.note(name, 'a', memory)
    t.equal(await isKnown(name, 'a'), true)
    t.equal(await isKnown(name.normalize('NFD').toUpperCase(), 'b', 'a'), true)
    t.equal(await isKnown(name, 'b'), false)
    t.equal(await isKnown(`${name}x`, 'a'), false)
  })

  await t.test('so many of them, and those that were noted longest ago are forgotten', async (t) => {
    const name = randomUUID()
    for (const digest of ['a', 'b', 'c', 'a', 'd']) {
      await store.networks.note(name, digest, memory)
      await sleep(3)
    }
    const known = await Promise.all(['a', 'b', 'c', 'd'].map((digest) => isKnown(name, digest)))
    t.strictSame(known, [true, false, true, true])
  })

  await t.test('for so long', async (t) => {
    const name = randomUUID()
    await store.networks.note(name, 'a', { networks: 3, ms: 200 })
    await until('it is forgotten', async () => !(await store.networks.isKnown(name, ['a'], 200)))
    await store.networks.note(name, 'b', memory)
    await sleep(30)
    t.equal(await other.networks.isKnown(name, ['b'], 10), false, 'by whoever asks')
    t.equal(await isKnown(name, 'b'), true)
  })

  await t.test('until the name is another’s', async (t) => {
    const user = someUser()
    await store.users.create(user)
    await store.networks.note(user.username, 'a', memory)
    await other.users.rename(user, user.username.toUpperCase())
    t.equal(await isKnown(user.username, 'a'), true, 'not by another spelling')
    await other.users.rename(user, `Married ${user.sub}`)
    t.equal(await isKnown(user.username, 'a'), false)
  })

  await t.test('until the user is deleted', async (t) => {
    const user = someUser()
    await store.users.create(user)
    await store.networks.note(user.username, 'a', memory)
    await other.users.delete(user)
    t.equal(await isKnown(user.username, 'a'), false)
  })
}
