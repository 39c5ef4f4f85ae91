import { strictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import type { Test } from 'tap'
import type { StoreKind } from '../support/deployment.ts'
import { until } from '../support/until.ts'
import { type Real, signInStep, steps } from './commands.ts'
import { type Model, newModel, type Policy } from './model.ts'
import { createWorld, type World } from './world.ts'

const POLICIES: readonly Policy[] = ['grace', 'strict', 'observe']
const MAX_STEPS = 50
/** The events whose reason is another from one end of a session to the next. */
const WITH_REASON = new Set(['refresh.after_revocation', 'session.revoked'])
const LANES = 4

export interface HistoriesAsked {
  readonly histories: number
  /** Whether servers are killed and clients ended in them, which takes time. */
  readonly withRestarts?: boolean
  readonly seed?: number
}

export interface HistoriesDone {
  readonly histories: number
  readonly steps: number
  /** How often each decision and audit event was expected, and seen. */
  readonly tally: Readonly<Record<string, number>>
}

/**
 * Holds the servers on this store against the model, for random histories. Fails with the shortest history that
 * diverges, and the seed that brings it back.
 */
export async function holdHistories(
  t: Test,
  kind: StoreKind,
  { histories, withRestarts = false, seed = Date.now() }: HistoriesAsked,
): Promise<HistoriesDone> {
  const world = await createWorld(t, kind)
  const done = { histories: 0, steps: 0 }
  const logs: { clientIds: readonly string[]; expected: string[] }[] = []

  const hold = (lane: number, numRuns: number) =>
    fc.assert(
      fc.asyncProperty(
        fc.commands(steps(withRestarts), { maxCommands: MAX_STEPS, size: 'max' }),
        async (commands) => {
          const { model, real } = await begin(world)
          await fc.asyncModelRun(() => ({ model, real }), commands)
          done.histories += 1
          done.steps += [...commands].length
          logs.push({ clientIds: real.population.clientIds, expected: [...real.events, ...real.decisions] })
        },
      ),
      { numRuns, seed: seed + lane, endOnFailure: false },
    )
  const lanes = withRestarts ? 1 : LANES
  await Promise.all(Array.from({ length: lanes }, (_, lane) => hold(lane, Math.ceil(histories / lanes))))

  // A killed server takes its last lines with it; only the audit events it flushes at once.
  if (!withRestarts) for (const { clientIds, expected } of logs) await holdLog(world, clientIds, expected)
  const tally: Record<string, number> = {}
  for (const what of logs.flatMap(({ expected }) => expected)) tally[what] = (tally[what] ?? 0) + 1
  return { ...done, tally }
}

/** A user who is signed in once at each of the clients. */
async function begin(world: World): Promise<{ model: Model; real: Real }> {
  const population = await world.populate(POLICIES)
  const model = newModel(POLICIES)
  const real = {
    world,
    population,
    families: [],
    events: [],
    decisions: [],
    userEpoch: population.user.epoch,
  }
  for (const client of POLICIES.keys()) await signInStep(client, 0, client % 2).run(model, real)
  return { model, real }
}

/** Every refusal, repeat and healing has its line, and nothing else has one. */
async function holdLog(world: World, clientIds: readonly string[], expected: string[]): Promise<void> {
  const wanted = expected.toSorted().join(' ')
  const found = () =>
    world
      .linesOf(clientIds)
      .flatMap(({ event, decision, reason }) =>
        event && WITH_REASON.has(event) ? `${event} ${reason}` : (event ?? decision ?? []),
      )
      .toSorted()
      .join(' ')
  await until('the log says what happened', () => found() === wanted, 5000).catch(() => {
    strictEqual(found(), wanted, `the log of ${clientIds[0]}`)
  })
}
