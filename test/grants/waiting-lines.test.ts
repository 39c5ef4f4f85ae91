import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createWaitingLines } from '../../src/grants/waiting-lines.ts'
import { ThrottledError, UnavailableError } from '../../src/oauth/errors.ts'

/** So much room, for those who ask; what is taken is given back by hand. */
function room(name: string, size: number) {
  let taken = 0
  let asking = 0
  let mostAsking = 0
  return {
    async ask() {
      asking += 1
      mostAsking = Math.max(mostAsking, asking)
      await sleep(1)
      asking -= 1
      if (taken >= size) return { wait: name }
      taken += 1
      return { taken }
    },
    giveBack() {
      taken -= 1
    },
    countAnew() {
      mostAsking = 0
    },
    get mostAsking() {
      return mostAsking
    },
  }
}

t.test('one asks at a time, and each gets through in turn', async (t) => {
  const lines = createWaitingLines()
  const one = room('a', 1)
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      await lines.pass(['a'], one.ask)
      order.push(i)
      one.giveBack()
      lines.wake(['a'])
    }),
  )
  t.strictSame(order, [...Array(20).keys()])
  t.equal(one.mostAsking, 1)
})

t.test('lines of other names go on', async (t) => {
  const lines = createWaitingLines()
  const [full, free] = [room('shared', 0), room('b', 1)]
  const waiting = lines.pass(['a', 'shared'], full.ask)
  t.match(await lines.pass(['b'], free.ask), { taken: 1 })
  await t.rejects(waiting, { name: 'UnavailableError' }, 'who waits for what never comes is told so')
})

t.test('who waits for something shared keeps nobody else from what is theirs', async (t) => {
  const lines = createWaitingLines()
  const shared = room('shared', 1)
  await lines.pass(['a', 'shared'], shared.ask)
  const order: string[] = []
  const others = ['b', 'c', 'd'].map(async (name) => {
    await lines.pass([name, 'shared'], shared.ask)
    order.push(name)
    await sleep(5)
    shared.giveBack()
    lines.wake([name, 'shared'])
  })
  await sleep(60)
  shared.giveBack()
  lines.wake(['a', 'shared'])
  await Promise.all(others)
  t.strictSame(order.sort(), ['b', 'c', 'd'])
})

t.test('a refusal is heard by all at once', async (t) => {
  const lines = createWaitingLines()
  let [isOver, asking, mostAsking] = [false, 0, 0]
  const ask = async () => {
    asking += 1
    mostAsking = Math.max(mostAsking, asking)
    await sleep(isOver ? 100 : 1)
    asking -= 1
    if (isOver) return { refusedBy: 'a', error: new ThrottledError(1000) }
    return { wait: 'a' }
  }
  const waiting = Array.from({ length: 30 }, () => lines.pass(['a'], ask))
  await sleep(20)
  t.equal(mostAsking, 1)
  isOver = true
  const outcomes = await Promise.allSettled(waiting)
  t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason instanceof ThrottledError))
  t.equal(mostAsking, 29, 'after the first one, and not one after the other')
})

t.test('a refusal by one’s own name is not heard by those who wait for something shared', async (t) => {
  const lines = createWaitingLines()
  const shared = room('shared', 1)
  await lines.pass(['a', 'shared'], shared.ask)
  let isSpent = false
  const spent = async () =>
    isSpent ? { refusedBy: 'b', error: new ThrottledError(1000) } : { wait: 'shared' }
  const refused = t.rejects(lines.pass(['b', 'shared'], spent), ThrottledError)
  const others = Array.from({ length: 20 }, (_, i) =>
    lines.pass([`other ${i}`, 'shared'], async () => {
      const answer = await shared.ask()
      if ('taken' in answer) setTimeout(giveBack, 5)
      return answer
    }),
  )
  const giveBack = () => {
    shared.giveBack()
    lines.wake(['shared'])
  }
  await sleep(100)
  // Each has asked once in the line of its own name, at the same time as the others.
  shared.countAnew()
  isSpent = true
  await refused
  await sleep(100)
  giveBack()
  await Promise.all(others)
  t.equal(shared.mostAsking, 1, 'they still ask one by one')
})

t.test('trouble of one is not heard by the others', async (t) => {
  const lines = createWaitingLines()
  let [asking, mostAsking, left] = [0, 0, 1]
  const ask = async () => {
    asking += 1
    mostAsking = Math.max(mostAsking, asking)
    await sleep(5)
    asking -= 1
    if (left-- > 0) throw new UnavailableError('The store does not answer')
    return {}
  }
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => lines.pass(['a'], ask)))
  t.equal(outcomes.filter(({ status }) => status === 'rejected').length, 1)
  t.equal(mostAsking, 1, 'they still ask one by one')
})

t.test('there is an end to each line, and to none by another', async (t) => {
  const lines = createWaitingLines()
  const full = room('a', 0)
  let isOver = false
  const ask = () => (isOver ? Promise.resolve({ taken: 0 }) : full.ask())
  const waiting = Array.from({ length: 101 }, () => lines.pass(['a'], ask))
  const refused = Array.from({ length: 20 }, () => lines.pass(['a'], ask))
  const settled = Promise.allSettled(waiting)
  for (const one of refused) await t.rejects(one, { name: 'UnavailableError' })
  t.match(await lines.pass(['b', 'a'], room('b', 1).ask), { taken: 1 }, 'others are not concerned')
  isOver = true
  t.ok(
    (await settled).every(({ status }) => status === 'fulfilled'),
    'nor those in the line',
  )
  t.match(await lines.pass(['a'], ask), { taken: 0 }, 'then there is room again')
})
