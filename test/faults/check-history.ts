import type { Entry, Fault, History } from './history.ts'

/** What the deployment of a history promises. Milliseconds. */
export interface Promises {
  readonly graceMs: number
  /** Every answer to a refresh or a revocation is there within this time. */
  readonly answerMs: number
  /** After a fault there is a good answer within this time. */
  readonly recoveryMs: number
  /**
   * How long before and during a fault what was answered may be lost, because replicas follow the primary and nobody
   * waits for them. 0: what was answered stays, whatever happens.
   */
  readonly mayLoseMs: (fault: Fault) => number
}

export type ViolationKind =
  | 'fork'
  | 'lost sign-in'
  | 'lost revocation'
  | 'false reuse'
  | 'ended session'
  | 'wrong answer'
  | 'slow answer'
  | 'slow recovery'

export interface Violation {
  readonly kind: ViolationKind
  readonly what: string
}

/**
 * Judges a history, after the fact, by nothing but what clients saw and what the audit trail says. Clients are honest:
 * each presents the token it got last, and again when it heard nothing.
 */
export function checkHistory(history: History, promises: Promises): Violation[] {
  const bySession = new Map<string, Entry[]>()
  for (const entry of history.entries) {
    if (entry.session === undefined) continue
    const others = bySession.get(entry.session)
    if (others) others.push(entry)
    else bySession.set(entry.session, [entry])
  }
  return [
    ...history.entries.flatMap((entry) => faultsOfAnswer(entry, promises)),
    ...[...bySession].flatMap(([session, entries]) => faultsOfSession(session, entries, history, promises)),
    ...history.faults.flatMap((fault) => faultsOfRecovery(fault, history, promises)),
  ]
}

/** 200, or trouble that may pass and has no `error`; a 4xx with one is judged with its session. */
function faultsOfAnswer(entry: Entry, { answerMs }: Promises): Violation[] {
  const { kind, status, error, overAt, sentAt } = entry
  const found: Violation[] = []
  if (status === undefined) return found
  const passes = (status === 503 || status === 429) && error === undefined
  const refuses = status === 400 && error === 'invalid_grant' && kind === 'refresh'
  if (status !== 200 && !passes && !refuses)
    found.push({ kind: 'wrong answer', what: `${status} ${error} to ${told(entry)}` })
  // A sign-in may wait for its hash, behind those of others.
  if (kind !== 'sign_in' && overAt - sentAt > answerMs)
    found.push({ kind: 'slow answer', what: `${Math.round(overAt - sentAt)} ms for ${told(entry)}` })
  return found
}

function faultsOfSession(
  session: string,
  entries: readonly Entry[],
  { faults, reuses }: History,
  promises: Promises,
): Violation[] {
  const found: Violation[] = []
  const successors = new Map<string, Set<string>>()
  const predecessors = new Map<string, Set<string>>()
  for (const { kind, presented, received } of entries) {
    if (kind !== 'refresh' || presented === undefined || received === undefined) continue
    successors.set(presented, (successors.get(presented) ?? new Set()).add(received))
    predecessors.set(received, (predecessors.get(received) ?? new Set()).add(presented))
  }
  for (const [of, which] of [...successors, ...predecessors])
    if (which.size > 1) found.push({ kind: 'fork', what: `${of} is beside ${[...which].join(' and ')}` })

  const isReused = entries.some((entry) => mayBeReuse(entry, entries, successors, promises))
  if (reuses.includes(session) && !isReused) found.push({ kind: 'false reuse', what: session })

  const mayBeLost = (at: number) =>
    faults.some((fault) => {
      const ms = promises.mayLoseMs(fault)
      return ms > 0 && at > fault.from - ms && at < fault.until
    })
  const begun = entries.find(({ kind, status }) => kind === 'sign_in' && status === 200)
  const revokes = entries.filter(({ kind, status }) => kind === 'revoke' && (status ?? 0) !== 429)
  for (const entry of entries.filter(({ kind }) => kind === 'refresh')) {
    if (entry.error === 'invalid_grant') {
      const isEnded = revokes.some(({ sentAt }) => sentAt < entry.overAt)
      if (isEnded || isReused || (begun && mayBeLost(begun.overAt))) continue
      const wentOn = entries.some(({ kind, status }) => kind === 'refresh' && status === 200)
      found.push({ kind: wentOn ? 'ended session' : 'lost sign-in', what: told(entry) })
      break
    }
    const revoked = revokes.find(({ status, overAt }) => status === 200 && overAt < entry.sentAt)
    if (entry.status === 200 && revoked && !mayBeLost(revoked.overAt)) {
      found.push({ kind: 'lost revocation', what: told(entry) })
      break
    }
  }
  return found
}

/** Whether the rule itself may take it for reuse: its token had a first use too long ago, or its successor had one. */
function mayBeReuse(
  entry: Entry,
  entries: readonly Entry[],
  successors: ReadonlyMap<string, ReadonlySet<string>>,
  { graceMs }: Promises,
): boolean {
  const { presented, overAt } = entry
  if (entry.kind !== 'refresh' || presented === undefined) return false
  const next = successors.get(presented)
  return entries.some(
    (other) =>
      other.kind === 'refresh' &&
      other !== entry &&
      ((other.presented === presented && overAt - other.sentAt >= graceMs) ||
        (other.presented !== undefined && next?.has(other.presented) && other.sentAt < overAt)),
  )
}

function faultsOfRecovery(fault: Fault, history: History, { recoveryMs }: Promises): Violation[] {
  return recoveriesFrom(fault, history)
    .filter(({ ms }) => ms > recoveryMs)
    .map(({ ms, of }) => ({ kind: 'slow recovery', what: `${Math.round(ms)} ms after ${fault.name}: ${of}` }))
}

export interface Recovery {
  readonly of: string
  readonly ms: number
}

/**
 * How long it took until anybody's refresh was answered well, and from each user's first question on until one of its
 * kind was answered: where one user's records are, another's need not be. What must be kept may have to wait until the
 * whole fault is over.
 */
export function recoveriesFrom(fault: Fault, { entries, faults }: History): Recovery[] {
  const { returnedAt, until } = fault
  const next = Math.min(...faults.map(({ from }) => from).filter((from) => from >= until))
  const refreshed = entries.filter((entry) => entry.kind === 'refresh' && entry.status === 200)
  const first = Math.min(
    ...refreshed.filter(({ sentAt }) => sentAt >= returnedAt).map(({ overAt }) => overAt),
  )
  const asked = new Map<string, Entry[]>()
  for (const entry of entries) {
    const { kind, user, sentAt } = entry
    if (sentAt < (kind === 'refresh' ? returnedAt : until) || sentAt >= next) continue
    const of = `${kind} of ${user}`
    asked.set(of, [...(asked.get(of) ?? []), entry])
  }
  return [
    { of: 'anybody’s refresh', ms: first - returnedAt },
    ...[...asked].map(([of, all]) => ({ of, ms: untilAnswered(all) })),
  ]
}

/** Where none was, as long as they asked, which ends with the next fault. A refusal is an answer, and judged elsewhere. */
function untilAnswered(entries: readonly Entry[]): number {
  const from = Math.min(...entries.map(({ sentAt }) => sentAt))
  const answered = entries.filter(({ status, error }) => status === 200 || error !== undefined)
  const ends = (answered.length > 0 ? answered : entries.slice(-1)).map(({ overAt }) => overAt)
  return Math.min(...ends) - from
}

function told({ kind, session, presented, sentAt }: Entry): string {
  return `${kind} of ${session ?? 'nobody'} with ${presented ?? 'a password'} at ${Math.round(sentAt)} ms`
}
