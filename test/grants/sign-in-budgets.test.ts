import t from 'tap'
import { chargesOf } from '../../src/grants/sign-in-budgets.ts'

const BUDGETS = {
  signInFailuresPerAccount: 10,
  signInFailuresPerNetwork: 100,
  signInFailuresInTotal: 2000,
  signInFailureWindow: 900,
}
const V4 = { username: 'ada', prefix: '192.0.2.0/24', network: '192.0.2.0/24' }
const V6 = { username: 'ada', prefix: '2001:db8:1:2::/64', network: '2001:db8:1::/48' }

/** The budget, the counter without the name’s digest, and the limits. */
const lines = (attempt: Parameters<typeof chargesOf>[1]) =>
  chargesOf(BUDGETS, attempt).map(({ budget, subject, counter, limit, newcomers }) =>
    [
      budget,
      subject.replace(/^account:[\w-]{43}$/, 'account'),
      counter,
      limit,
      newcomers ? `or ${newcomers.limit} if ${newcomers.emptyAt} is empty` : '',
    ]
      .join(' ')
      .trim(),
  )

t.test('from a network that is not known', async (t) => {
  t.strictSame(lines({ ...V4, isKnown: false }), [
    'account_network account 192.0.2.0/24 10',
    'account account all 50 or 500 if 0 is empty',
    'network network:192.0.2.0/24 all 100',
    'total total all 2000 or 20000 if 2 is empty',
  ])
  t.strictSame(lines({ ...V6, isKnown: false }), [
    'account_network account 2001:db8:1:2::/64 10',
    'account_network account 2001:db8:1::/48 50',
    'account account all 50 or 500 if 1 is empty',
    'network network:2001:db8:1:2::/64 all 100',
    'network network:2001:db8:1::/48 all 1000',
    'total total all 2000 or 20000 if 4 is empty',
  ])
})

t.test('from one that is known, what strangers share plays no part', async (t) => {
  t.strictSame(lines({ ...V4, isKnown: true }), ['account_network account 192.0.2.0/24 10'])
  t.strictSame(lines({ ...V6, isKnown: true }), ['account_network account 2001:db8:1:2::/64 10'])
})

t.test('names are one by their folded form', async (t) => {
  const subjectOf = (username: string) => chargesOf(BUDGETS, { ...V4, username, isKnown: true })[0]?.subject
  t.equal(subjectOf('ADA'), subjectOf('ada'))
  t.not(subjectOf('eve'), subjectOf('ada'))
})
