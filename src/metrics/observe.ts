import type { PasswordHashing } from '../accounts/password-hashing.ts'
import type { Audit } from '../audit/event.ts'
import type { FailureThrottle } from '../grants/failure-throttle.ts'
import type { RequestNotes } from '../grants/grant.ts'
import { BUDGETS } from '../grants/sign-in-budgets.ts'
import { ThrottledError, UnavailableError } from '../oauth/errors.ts'
import { aroundStore } from '../stores/around-store.ts'
import type { Store } from '../stores/contract.ts'
import type { Metrics } from './metrics.ts'

/** The same store, timed. What it throws counts as an error, whatever it is. */
export function timeStore(store: Store, { store: time, storeErrors }: Metrics): Store {
  const known = new Set<string>()
  return aroundStore(store, async (verb, question) => {
    if (!known.has(verb)) {
      known.add(verb)
      // The first error is one more than none, which must have been said.
      storeErrors.inc({ verb }, 0)
    }
    const begin = performance.now()
    try {
      return await question()
    } catch (error) {
      storeErrors.inc({ verb })
      throw error
    } finally {
      time.observe({ verb }, (performance.now() - begin) / 1000)
    }
  })
}

/** The same hashing, timed, and its queue counted. */
export function timeHashing(hashing: PasswordHashing, metrics: Metrics): PasswordHashing {
  async function timed<T>(operation: 'hash' | 'verify', work: () => Promise<T>): Promise<T> {
    metrics.hashesUnderWay.inc()
    const begin = performance.now()
    try {
      return await work()
    } catch (error) {
      if (error instanceof UnavailableError) metrics.hashRefusals.inc()
      throw error
    } finally {
      metrics.hashesUnderWay.dec()
      metrics.hash.observe({ operation }, (performance.now() - begin) / 1000)
    }
  }
  return {
    ...hashing,
    hash: (password) => timed('hash', () => hashing.hash(password)),
    verify: (password, passwordHash) => timed('verify', () => hashing.verify(password, passwordHash)),
    requireRoom() {
      try {
        hashing.requireRoom()
      } catch (error) {
        metrics.hashRefusals.inc()
        throw error
      }
    },
  }
}

/** The budgets whose use-up an audit event tells of; one that is not in this list counts as `other`. */
const SIGN_IN_BUDGETS = new Set<string>(BUDGETS)

/** The same audit, its events counted by name. */
export function countAudit(audit: Audit, metrics: Metrics): Audit {
  return (event) => {
    const { event: name, reason = '' }: { event: string; reason?: string } = event
    metrics.audit.inc({ event: name })
    if (name === 'sign_in.throttled') {
      metrics.throttled.inc({ reason: `sign_in_${SIGN_IN_BUDGETS.has(reason) ? reason : 'other'}` })
    }
    audit(event)
  }
}

/** The same throttle, its refusals counted. */
export function countThrottle(throttle: FailureThrottle, reason: string, metrics: Metrics): FailureThrottle {
  return {
    ...throttle,
    async count(network) {
      try {
        await throttle.count(network)
      } catch (error) {
        if (error instanceof ThrottledError) metrics.throttled.inc({ reason })
        throw error
      }
    },
  }
}

/** What is known of a request when it has been answered. */
export interface AnsweredRequest {
  /** The route's pattern; `undefined` for a path that is none. */
  readonly route: string | undefined
  readonly isTokenRequest: boolean
  readonly status: number
  readonly milliseconds: number
  readonly notes: RequestNotes
  /** The OAuth error code of the answer. */
  readonly error: string | undefined
}

export function countRequest(metrics: Metrics, request: AnsweredRequest): void {
  const { route = 'none', isTokenRequest, status, milliseconds, notes, error } = request
  metrics.http.observe({ route, status }, milliseconds / 1000)
  if (!isTokenRequest) return
  const { grant_type, decision, replay_age_ms } = notes
  metrics.tokens.inc({
    grant_type: grant_type ?? (error === 'unsupported_grant_type' ? 'other' : 'none'),
    result: error ?? (status === 200 ? 'ok' : `problem_${status}`),
  })
  if (decision === undefined) return
  metrics.decisions.inc({ decision })
  if (replay_age_ms !== undefined) metrics.replayAge.observe({ decision }, replay_age_ms / 1000)
}
