import t, { type Test } from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { type ActName, pairs, playInterleavings } from './interleavings.ts'

/** How many combinations of each kind to play; all, unless told otherwise. */
const COMBINATIONS = Number(process.env.COMBINATIONS ?? Number.POSITIVE_INFINITY)

const THREES: readonly (readonly ActName[])[] = [
  ['refresh', 'refresh', 'revoke'],
  ['refresh', 'refresh', 'disable'],
  ['refresh', 'refresh', 'password change'],
  ['refresh', 'refresh', 'reuse'],
  ['refresh', 'repeat', 'operator’s revoke'],
  ['refresh', 'reuse', 'operator’s revoke'],
  ['refresh', 'disable', 'sign-in'],
]

for (const kind of STORE_KINDS) {
  // LMDB flushes for each write, so there a verb is held up once and not twice.
  const points = kind === 'lmdb' ? 'answers' : 'both'
  t.test(`every order of the await points of every two acts, on ${kind}`, (t) => play(t, pairs(), points))
  t.test(`every order of the answers of three acts, on ${kind}`, (t) => play(t, THREES, 'answers'))

  async function play(t: Test, combinations: typeof THREES, points: 'both' | 'answers') {
    const some = combinations.slice(0, COMBINATIONS)
    const counts = await playInterleavings(t, kind, some, points)
    for (const [what, count] of counts) t.ok(count > 0, `${what}: ${count}`)
    const count = [...counts.values()].reduce((sum, each) => sum + each, 0)
    t.comment(`count: interleavings ${count} of ${counts.size} combinations, violations 0 (${t.name})`)
  }
}
