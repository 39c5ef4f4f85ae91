import fc from 'fast-check'
import type { Test } from 'tap'
import type { StoreKind } from '../support/deployment.ts'
import { holdEnding } from './ending.ts'
import { holdLog } from './log.ts'
import { type Beginning, type Model, newModel } from './model.ts'
import type { Real } from './real.ts'
import { signInStep } from './session-steps.ts'
import { type Kind, steps } from './steps.ts'
import { createWorld, type World } from './world.ts'

const MAX_STEPS = 50
/** Histories at once. Who changes clients waits most of the time; who kills servers kills them for all. */
const LANES: Record<Kind, number> = { plain: 12, 'client changes': 24, restarts: 1 }
/** How often one is played, at most. */
const MOST_TIMES = 5
/** After so many it says how far it is, and at its end. */
const PROGRESS = 1000

export interface HistoriesAsked {
  readonly histories: number
  readonly of?: Kind
  readonly seed?: number
}

export interface HistoriesDone {
  readonly histories: number
  readonly steps: number
  /** How often each decision and audit event was expected, and seen. */
  readonly tally: Readonly<Record<string, number>>
}

const beginning: fc.Arbitrary<Beginning> = fc.record({
  policies: fc.constant(['grace', 'strict', 'observe'] as const),
  // Only a confidential client may ask about its tokens.
  confidential: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  livesElsewhere: fc.constantFrom(...Array.from({ length: 7 }, () => true), false),
})

/**
 * Holds the servers on this store against the model, for random histories. Fails with the shortest history that
 * diverges, and the seed that brings it back.
 */
export async function holdHistories(
  t: Test,
  store: StoreKind,
  { histories, of = 'plain', seed = Number(process.env.SEED ?? Date.now()) }: HistoriesAsked,
): Promise<HistoriesDone> {
  const world = await createWorld(t, store)
  const lanes = Math.min(LANES[of], histories)
  const each = Math.ceil(histories / lanes)
  const begin = performance.now()
  const done = { histories: 0, steps: 0 }
  const tally: Record<string, number> = {}

  const hold = (lane: number, numRuns: number) =>
    fc.assert(
      fc.asyncProperty(
        beginning,
        fc.commands(steps(of), { maxCommands: MAX_STEPS, size: 'max' }),
        async (beginning, commands) => {
          const { events, requests } = await holdUndisturbed(world, of, beginning, commands)
          for (const what of [...events, ...requests]) tally[what] = (tally[what] ?? 0) + 1
          done.histories += 1
          done.steps += [...commands].length
          if (done.histories % PROGRESS > 0 && done.histories !== lanes * each) return
          const rate = done.histories / ((performance.now() - begin) / 1000)
          process.stderr.write(
            `histories, ${of}, on ${store}: ${done.histories} of ${lanes * each}, ${rate.toFixed(1)} a second\n`,
          )
        },
      ),
      { numRuns, seed: seed + lane, endOnFailure: false },
    )
  await Promise.all(Array.from({ length: lanes }, (_, lane) => hold(lane, each)))
  return { ...done, tally }
}

/**
 * As `holdHistory`; one that diverges is played again where the store was late meanwhile. What is answered with 503 and
 * asked again may have been done all the same, and then the second time is not what the law reckons with.
 */
async function holdUndisturbed(...asked: Parameters<typeof holdHistory>): Promise<Real> {
  const [world] = asked
  for (let turn = 1; ; turn += 1) {
    const before = world.disturbances()
    try {
      return await holdHistory(...asked)
    } catch (error) {
      if (turn === MOST_TIMES || world.disturbances() === before) throw error
    }
  }
}

async function holdHistory(
  world: World,
  of: Kind,
  beginning: Beginning,
  commands: Iterable<fc.AsyncCommand<Model, Real>>,
): Promise<Real> {
  const population = await world.populate(beginning)
  const model = newModel(beginning)
  const real: Real = {
    world,
    population,
    families: [],
    events: [],
    requests: [],
    userEpoch: population.user.epoch,
  }
  try {
    // A user who is signed in once at each of the clients.
    for (const client of beginning.policies.keys()) {
      await signInStep(client, 0, { sender: 0, server: client % 2 }).run(model, real)
    }
    await fc.asyncModelRun(() => ({ model, real }), commands)
    await holdEnding(model, real)
    // A killed server takes its last lines with it; only the audit events it flushes at once.
    await holdLog(population.logLines, real.events, of === 'restarts' ? undefined : real.requests)
  } finally {
    population.forget()
  }
  return real
}
