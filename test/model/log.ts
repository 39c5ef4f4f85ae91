import { strictEqual } from 'node:assert/strict'
import { until } from '../support/until.ts'
import type { LogLine } from './world.ts'

/** The events whose reason is another from one to the next. */
const WITH_REASON = new Set(['refresh.after_revocation', 'session.revoked', 'sign_in.failed'])

/** What a line tells of an audit event. */
function eventIn({ event, reason }: LogLine): string | undefined {
  return event !== undefined && WITH_REASON.has(event) ? `${event} ${reason}` : event
}

/** What a line tells of a token request: how it was decided, and answered. A 503 is followed by another. */
function requestIn({ route, status, decision, grant_type, error }: LogLine): string | undefined {
  return route === '/token' && status !== 503 ? `${decision ?? grant_type} ${error ?? 'ok'}` : undefined
}

/**
 * Every refusal, repeat and healing has its line with its reason, and nothing else has one.
 *
 * @param requests how the token requests went; not looked at where it is not given.
 */
export async function holdLog(
  linesSoFar: () => readonly LogLine[],
  events: readonly string[],
  requests?: readonly string[],
): Promise<void> {
  const wanted = [...events, ...(requests ?? [])]
  const found = () => linesSoFar().flatMap((line) => eventIn(line) ?? (requests && requestIn(line)) ?? [])
  // A line that is missing is found out by waiting alone, and whatever has come by then is held against what was to come.
  await until('the log says as much as happened', () => found().length >= wanted.length, 5000).catch(() => {})
  // Two servers write it, and which of two lines came first is not for us to say.
  strictEqual(found().toSorted().join(', '), wanted.toSorted().join(', '), 'the log')
}
