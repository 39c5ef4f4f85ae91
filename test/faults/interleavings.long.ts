import t, { type Test } from 'tap'
import { count } from '../support/count.ts'
import { STORE_KINDS } from '../support/deployment.ts'
import { type ActName, pairs, playInterleavings } from './interleavings.ts'

/** How many combinations of each kind to play; all, unless told otherwise. */
const COMBINATIONS = Number(process.env.COMBINATIONS ?? Number.POSITIVE_INFINITY)

/** The acts that present a refresh token for another: each of their await points is played against all others. */
const REFRESHES: readonly ActName[] = [
  'refresh',
  'narrow refresh',
  'wide refresh',
  'repeat',
  'reuse',
  'stranger’s refresh',
]
const hasRefresh = (names: readonly ActName[]) => names.some((name) => REFRESHES.includes(name))

/** Where nobody refreshes, questions to the store are all that one act sees of another; so their order is enough. */
const others = () => pairs().filter((names) => !hasRefresh(names))

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
  t.test(`every await point of a refresh against those of every act, on ${kind}`, (t) =>
    play(t, pairs().filter(hasRefresh), 'both'),
  )
  t.test(`every order of the answers of every two other acts, on ${kind}`, (t) =>
    play(t, others(), 'answers'),
  )
  t.test(`every order of the answers of three acts, on ${kind}`, (t) => play(t, THREES, 'answers'))

  async function play(t: Test, combinations: typeof THREES, points: 'both' | 'answers') {
    const some = combinations.slice(0, COMBINATIONS)
    const counts = await playInterleavings(t, kind, some, points, (done) =>
      process.stderr.write(`interleavings on ${kind}: ${done}\n`),
    )
    for (const [what, orders] of counts) t.ok(orders > 0, `${what}: ${orders}`)
    const number = [...counts.values()].reduce((sum, each) => sum + each, 0)
    count(t, { what: 'interleavings', number, on: kind, more: `${t.name}, ${counts.size} combinations` })
  }
}
