import { test } from 'tap'
import { createRests } from '../../src/accounts/rests.ts'

function start(times: number) {
  let waited = 1000
  const rests = createRests(times, () => waited)
  return {
    rests,
    /** Computes on a core that was free only after so many milliseconds. */
    compute: (afterMs: number) =>
      rests.during(() => {
        waited += afterMs
        return 'done'
      }),
  }
}

test('in a crowd, a multiple of the last wait for the core, within bounds', async (t) => {
  const { rests, compute } = start(3)
  t.equal(rests.before(true), 0, 'nothing was waited for yet')
  t.equal(compute(40), 'done')
  t.equal(rests.before(true), 120)
  t.equal(rests.before(true), 0, 'it is paid once')
  compute(40)
  t.equal(rests.before(false), 0, 'no crowd, no rest')
  compute(0)
  t.equal(rests.before(true), 0, 'the core was free')
  compute(10_000)
  t.equal(rests.before(true), 500, 'never longer')
})

test('what fails has waited too, and says so', async (t) => {
  const { rests, compute } = start(2)
  compute(0)
  t.throws(() =>
    rests.during(() => {
      compute(5)
      throw new Error('damaged')
    }),
  )
  t.equal(rests.before(true), 10)
})

test('a command never rests', async (t) => {
  const { rests, compute } = start(0)
  compute(40)
  t.equal(rests.before(true), 0)
})
