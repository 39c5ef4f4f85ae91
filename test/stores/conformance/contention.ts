import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { newEpoch } from '../../../src/accounts/user.ts'
import type { AdvanceRequest, Store } from '../../../src/stores/contract.ts'
import { nextMessage } from '../../support/next-message.ts'
import { familyIn, signedIn, someFamily, turn } from '../records.ts'

const CONTENDER = fileURLToPath(new URL('../contender.js', import.meta.url))

/** What each of several processes is to ask for. */
export interface Contest {
  /** Asked for fifty times at once. */
  readonly atOnce: AdvanceRequest
  /** Asked for again and again, from the generation that the family has by then. */
  readonly onward: AdvanceRequest
  readonly durationMs: number
}

export interface Outcome {
  /** How many of the fifty moved the family. */
  readonly crowd: number
  /** The generations that this process moved the other family on from. */
  readonly moved: readonly number[]
}

export async function testContention(t: Test, store: Store, other: Store, url: string): Promise<void> {
  await t.test('of a hundred turns at once from one generation, one succeeds', async (t) => {
    for (let round = 0; round < 5; round += 1) {
      const { begun } = await signedIn(store)
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => (i % 2 ? store : other).families.advance(turn(begun, 0))),
      )
      const applied = answers.filter((answer) => answer.applied)
      t.equal(applied.length, 1)
      t.equal(applied[0]?.family?.generation, 0)
      const late = answers.filter((answer) => !answer.applied)
      t.ok(
        late.every(({ family }) => family?.generation === 1 && family.rotatedAt === applied[0]?.now),
        'the others see its work',
      )
      t.equal(familyIn(await store.families.look(begun.id)).generation, 1)
    }
  })

  await t.test('also when they come from two processes', async (t) => {
    const contenders = [1, 2].map(() => fork(CONTENDER, [url], { execArgv: [] }))
    t.teardown(() => contenders.map((contender) => contender.kill('SIGKILL')))
    await Promise.all(contenders.map(nextMessage))
    const [crowded, chased] = [(await signedIn(store)).begun, (await signedIn(store)).begun]
    const contest: Contest = { atOnce: turn(crowded, 0), onward: turn(chased, 0), durationMs: 500 }
    const outcomes = await Promise.all(
      contenders.map(async (contender) => {
        contender.send(contest)
        return nextMessage<Outcome>(contender)
      }),
    )

    const crowd = outcomes.reduce((sum, { crowd }) => sum + crowd, 0)
    t.equal(crowd, 1, 'of a hundred at once one succeeded')
    t.equal(familyIn(await store.families.look(crowded.id)).generation, 1)

    const { generation } = familyIn(await store.families.look(chased.id))
    const moved = outcomes.flatMap(({ moved }) => moved).sort((a, b) => a - b)
    t.strictSame(moved, [...Array(generation).keys()], 'each generation was left once, by one of them')
    t.comment(`moved ${outcomes.map(({ moved }) => moved.length).join(' and ')} times`)
  })

  await t.test('no session slips through while its user is signed out everywhere', async (t) => {
    const { user } = await signedIn(store)
    const families = Array.from({ length: 50 }, () => someFamily(user))
    const [changed, ...begun] = await Promise.all([
      other.users.change(user.sub, { epoch: newEpoch(user.epoch) }),
      ...families.map((family, i) => (i % 2 ? store : other).families.create(family)),
    ])
    t.equal(changed, true)
    const turns = await Promise.all(families.map((family) => store.families.advance(turn(family, 0))))
    t.strictSame(
      turns.filter(({ applied }) => applied),
      [],
    )
    t.equal(
      turns.filter(({ family }) => family !== undefined).length,
      begun.filter(Boolean).length,
      'those that were told so have begun, and no others',
    )
  })
}
