import { strictEqual } from 'node:assert/strict'
import type { Test } from 'tap'
import { type Counted, count } from '../support/count.ts'
import { auditEvents } from '../support/deployment.ts'
import type { ServerProcess } from '../support/processes.ts'
import { checkHistory, type Promises, recoveriesFrom } from './check-history.ts'
import type { Recorder } from './history.ts'

/** What servers promise, and what a busy test machine gets on top of the second that they have for an answer. */
export const PROMISES: Promises = {
  graceMs: 30_000,
  answerMs: 1000 + 1000,
  recoveryMs: 2000,
  mayLoseMs: () => 0,
}

/** The same beside other tests, which may take the processors for longer than an answer or a recovery does. */
export const BUSY_PROMISES: Promises = { ...PROMISES, answerMs: 5000, recoveryMs: 5000 }

/** Judges what was recorded, and says what it was. @returns how many tokens healed a store that had lost writes. */
export function holdHistory(
  t: Test,
  recorder: Recorder,
  servers: readonly ServerProcess[],
  promises: Promises,
  counted: Pick<Counted, 'what' | 'number' | 'on'>,
): number {
  const events = servers.flatMap(auditEvents)
  const reuses = events.filter(({ event }) => event === 'refresh.reuse')
  const healed = events.filter(({ event }) => event === 'refresh.healed').length
  const history = recorder.history(reuses.map(({ sid }) => String(sid)))
  const violations = checkHistory(history, promises)
  t.strictSame(violations, [], 'the history is as it was promised')
  const { entries } = history
  const sessions = new Set(entries.map(({ session }) => session)).size
  const troubles = entries.filter(({ status }) => status !== 200).length
  strictEqual(entries.length > 0, true)
  const strict = checkHistory(history, { ...promises, mayLoseMs: () => 0 })
  const slowest = Math.max(
    0,
    ...history.faults.flatMap((fault) => recoveriesFrom(fault, history).map(({ ms }) => ms)),
  )
  const lost = strict.length - violations.length
  const more = `${t.name}: ${entries.length} requests of ${sessions} sessions, ${troubles} without success, healed ${healed}, lost as the store may ${lost}, back within ${Math.round(slowest)} ms`
  count(t, { ...counted, violations: violations.length, more })
  return healed
}
