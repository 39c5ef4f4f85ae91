import { test } from 'tap'
import { checkHistory, type Promises } from './check-history.ts'
import type { Entry, History } from './history.ts'

const PROMISES: Promises = { graceMs: 10_000, answerMs: 1000, recoveryMs: 2000, mayLoseMs: () => 0 }
const WHENEVER: Promises = { ...PROMISES, recoveryMs: 10_000 }
const KEEPS_A_SECOND_BACK: Promises = { ...WHENEVER, mayLoseMs: () => 1000 }

let clock = 0
const entry = (kind: Entry['kind'], members: Partial<Entry>): Entry => {
  clock += 100
  return {
    kind,
    user: 'ada',
    session: 's0',
    presented: undefined,
    sentAt: clock,
    overAt: clock + 50,
    status: 200,
    error: undefined,
    received: undefined,
    ...members,
  }
}
const signIn = (members: Partial<Entry> = {}) => entry('sign_in', { received: 's0.0', ...members })
const refresh = (from: number, to: number, members: Partial<Entry> = {}) =>
  entry('refresh', { presented: `s0.${from}`, received: `s0.${to}`, ...members })
const unanswered = (from: number) => entry('refresh', { presented: `s0.${from}`, status: undefined })
const unavailable = (from: number) => entry('refresh', { presented: `s0.${from}`, status: 503 })
const refused = (from: number) =>
  entry('refresh', { presented: `s0.${from}`, status: 400, error: 'invalid_grant' })
const revoke = (of: number, members: Partial<Entry> = {}) =>
  entry('revoke', { presented: `s0.${of}`, ...members })

const history = (entries: Entry[], others: Partial<History> = {}): History => ({
  entries,
  faults: [],
  reuses: [],
  ...others,
})
const kinds = (of: History, promises = PROMISES) => checkHistory(of, promises).map(({ kind }) => kind)

test('histories in which all is well', async (t) => {
  const well: Record<string, History> = {
    'a session that goes on through lost answers and trouble': history([
      signIn(),
      refresh(0, 1),
      unanswered(1),
      unavailable(1),
      refresh(1, 2),
      refresh(1, 2),
    ]),
    'an end that was asked for': history([signIn(), refresh(0, 1), revoke(1), refused(1)]),
    'an end that was asked for, the answer lost: ended': history([
      signIn(),
      revoke(0, { status: undefined }),
      refused(0),
    ]),
    'and not ended': history([signIn(), revoke(0, { status: undefined }), refresh(0, 1)]),
    'reuse that is reuse': history([signIn(), refresh(0, 1), refresh(1, 2), refused(0)], { reuses: ['s0'] }),
    'a refresh under way when the session ended': history([
      signIn(),
      refresh(0, 1),
      revoke(1),
      refresh(1, 2, { sentAt: clock - 200 }),
    ]),
  }
  for (const [name, of] of Object.entries(well)) t.strictSame(checkHistory(of, PROMISES), [], name)
})

test('violations that were planted', async (t) => {
  const fork = history([signIn(), refresh(0, 1), refresh(0, 2)])
  t.strictSame(kinds(fork), ['fork'], 'two successors of one token')
  t.strictSame(kinds(history([signIn(), refresh(0, 2), refresh(1, 2)])), ['fork'], 'one of two tokens')
  t.strictSame(kinds(history([signIn(), refused(0)])), ['lost sign-in'])
  t.strictSame(kinds(history([signIn(), refresh(0, 1), unavailable(1), refused(1)])), ['ended session'])
  const calm = [signIn(), refresh(0, 1), refresh(0, 1)]
  t.strictSame(kinds(history(calm, { reuses: ['s0'] })), ['false reuse'])
  t.strictSame(kinds(history(calm, { reuses: ['unknown x'] })), [], 'of a session whose sign-in was lost')
  const revived = history([signIn(), revoke(0), refresh(0, 1)])
  t.strictSame(kinds(revived), ['lost revocation'])
  for (const wrong of [
    { status: 500 },
    { status: 404 },
    { status: 401, error: 'invalid_client' },
    { status: 503, error: 'temporarily_unavailable' },
    { status: 400, error: 'invalid_scope' },
  ]) {
    const of = history([signIn(), entry('refresh', { presented: 's0.0', ...wrong })])
    t.strictSame(kinds(of), ['wrong answer'], JSON.stringify(wrong))
  }
  const noSignIn = entry('sign_in', { session: undefined, status: 400, error: 'invalid_grant' })
  t.strictSame(kinds(history([noSignIn])), ['wrong answer'], 'a good password that is called wrong')
  const late = refresh(0, 1, { overAt: clock + 2000 })
  t.strictSame(kinds(history([signIn(), late])), ['slow answer'])
})

test('recovery', async (t) => {
  clock = 0
  const before = [signIn(), refresh(0, 1)]
  const faults = [{ name: 'a cut', from: 300, returnedAt: 1000, until: 1000 }]
  t.strictSame(kinds(history(before, { faults })), ['slow recovery'], 'never')
  const soon = refresh(1, 2, { sentAt: 2500, overAt: 2900 })
  t.strictSame(kinds(history([...before, soon], { faults })), [])
  const late = refresh(1, 2, { sentAt: 2900, overAt: 3100 })
  t.strictSame(kinds(history([...before, late], { faults })), ['slow recovery'])
  const bob = { user: 'bob', session: 's1', presented: 's1.0', received: 's1.1' }
  const waits = (sentAt: number) =>
    refresh(0, 1, { ...bob, status: 503, received: undefined, sentAt, overAt: sentAt + 50 })
  const answered = (sentAt: number) => refresh(0, 1, { ...bob, sentAt, overAt: sentAt + 50 })
  const of = (...entries: Entry[]) => history([...before, soon, ...entries], { faults })
  t.strictSame(kinds(of(waits(1100), answered(3000))), [], 'everybody in time')
  t.strictSame(kinds(of(waits(1100), answered(3200))), ['slow recovery'], 'one user later than others')
  t.strictSame(kinds(of(waits(1100), waits(3100))), ['slow recovery'], 'one user never')
  t.strictSame(kinds(of(answered(9000))), [], 'one who asked for nothing before')
  const again = { name: 'a cut', from: 2950, returnedAt: 5000, until: 5000 }
  const twice = [...before, soon, waits(2940), answered(5100)]
  t.strictSame(kinds(history(twice, { faults: [...faults, again] })), [], 'asked when the next fault came')
  const lesser = { name: 'a failover', from: 300, returnedAt: 1000, until: 8000 }
  const signsIn = (sentAt: number, status: number) =>
    signIn({ user: 'bob', session: undefined, received: undefined, sentAt, overAt: sentAt + 50, status })
  t.strictSame(
    kinds(history([...before, soon, signsIn(1100, 503), signsIn(8100, 200)], { faults: [lesser] })),
    [],
    'what must be kept waits until all is as before',
  )
  t.strictSame(
    kinds(history([...before, soon, signsIn(8100, 503), signsIn(10_300, 503)], { faults: [lesser] })),
    ['slow recovery'],
    'and no longer',
  )
})

test('what a store that keeps some back may lose, and no more', async (t) => {
  clock = 0
  const early = [signIn(), revoke(0), refresh(0, 1)]
  const fault = (from: number) => ({
    faults: [{ name: 'a failover', from, returnedAt: from + 10, until: from + 10 }],
  })
  const recovered = refresh(1, 2, { sentAt: 5000, overAt: 5001 })
  const revived = (from: number) => history([...early, recovered], fault(from))
  t.strictSame(kinds(revived(1000), KEEPS_A_SECOND_BACK), [], 'a revocation of just before')
  t.strictSame(kinds(revived(3000), KEEPS_A_SECOND_BACK), ['lost revocation'])
  t.strictSame(kinds(revived(1000), WHENEVER), ['lost revocation'], 'nothing, where replicas are waited for')
  clock = 0
  const gone = [signIn(), refused(0)]
  const other = refresh(0, 1, {
    session: 's1',
    presented: 's1.0',
    received: 's1.1',
    sentAt: 5000,
    overAt: 5001,
  })
  t.strictSame(kinds(history([...gone, other], fault(1000)), KEEPS_A_SECOND_BACK), [], 'a sign-in')
  t.strictSame(kinds(history([...gone, other], fault(3000)), KEEPS_A_SECOND_BACK), ['lost sign-in'])
})
