import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'tap'
import { UnavailableError } from '../../src/oauth/errors.ts'
import { answersWithin } from '../../src/stores/in-time.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { openHandle } from './handles.ts'

const MAX_UNDER_WAY = 10_000
const LIMIT_MS = 50
const TOO_MUCH = { name: 'UnavailableError', message: 'The store has too much to answer' }
const NO_ANSWER = { name: 'UnavailableError', message: 'The store does not answer' }

test('a question counts until it is answered, whoever still waits', async (t) => {
  const inTime = answersWithin(LIMIT_MS)
  let answers: ((failure?: Error) => void)[] = []
  const ask = () =>
    inTime(
      () =>
        new Promise<void>((resolve, reject) => {
          answers.push((failure) => (failure ? reject(failure) : resolve()))
        }),
    )
  const askAll = async () => {
    const told = await Promise.allSettled(Array.from({ length: MAX_UNDER_WAY }, ask))
    t.ok(told.every(({ status }) => status === 'rejected'))
    t.equal(answers.length, MAX_UNDER_WAY, 'all were asked')
    await t.rejects(ask(), TOO_MUCH, 'their callers have gone, and they have not')
    t.equal(answers.length, MAX_UNDER_WAY)
  }
  await askAll()
  answers[0]!()
  await nextTurn()
  await t.rejects(ask(), NO_ANSWER, 'one more for one less')
  await t.rejects(ask(), TOO_MUCH)
  for (const [i, answer] of answers.entries()) answer(i % 2 ? new Error('lost') : undefined)
  answers = []
  await nextTurn()
  t.equal(await inTime(async () => 'answered'), 'answered')
  await t.rejects(
    inTime(() => {
      throw new Error('not asked at all')
    }),
    NO_ANSWER,
  )
  t.comment('and none of these has left anything')
  await askAll()
})

test('an answer that came while this process was held up is in time, and none is still none', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = await openHandle(t, redis.url)
  const hold = (ms: number) => {
    for (const end = performance.now() + ms; performance.now() < end; );
  }
  const asked = store.clients.find('nobody')
  await nextTurn()
  hold(800)
  t.equal(await asked, undefined)
  redis.pause()
  const unanswered = store.clients.find('somebody')
  await nextTurn()
  hold(800)
  await t.rejects(unanswered, NO_ANSWER)
  redis.resume()
})

test('what it holds of its own is told as it is', async (t) => {
  const own = new UnavailableError('A record in the store is damaged')
  await t.rejects(
    answersWithin(LIMIT_MS)(async () => {
      throw own
    }),
    own,
  )
})

test('a Redis that is back after more questions than it may be asked answers within two seconds', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = await openHandle(t, redis.url)
  redis.pause()
  const asked = Array.from({ length: MAX_UNDER_WAY + 100 }, () => store.clients.find('nobody'))
  const told = await Promise.allSettled(asked)
  const refused = told.filter((one) => one.status === 'rejected' && one.reason.message === TOO_MUCH.message)
  t.equal(refused.length, 100)
  redis.resume()
  const back = performance.now()
  await until('it answers', () =>
    store.clients.find('nobody').then(
      () => true,
      () => false,
    ),
  )
  const ms = Math.round(performance.now() - back)
  t.ok(ms < 2000, `after ${ms} ms`)
})
