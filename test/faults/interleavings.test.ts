import t from 'tap'
import { count } from '../support/count.ts'
import { STORE_KINDS } from '../support/deployment.ts'
import { pairs, playInterleavings } from './interleavings.ts'

/** The acts whose pairs are played in every run; all of them, and three at once, are for the long one. */
const ACTS = ['refresh', 'repeat', 'revoke', 'disable', 'reuse', 'password change'] as const

/** Pairs in which something was amiss once. */
const ONCE_AMISS = [
  ['sign out everywhere', 'sign-in'],
  ['disable', 'user deletion'],
] as const

for (const kind of STORE_KINDS) {
  // LMDB flushes for each of the writes.
  const acts = kind === 'lmdb' ? ACTS.slice(0, 4) : ACTS
  t.test(`every order of the answers, for every two of ${acts.length} acts, on ${kind}`, async (t) => {
    const counts = await playInterleavings(t, kind, [...pairs([...acts]), ...ONCE_AMISS], 'answers')
    const number = [...counts.values()].reduce((sum, each) => sum + each, 0)
    t.ok(number > 300, `${number} interleavings, as the law has it`)
    count(t, { what: 'interleavings', number, on: kind })
  })
}
