import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@platformatic/prom-client'
import type { AuditEvent } from '../audit/event.ts'
import { VERSION } from '../version.ts'

/** Seconds, from a look into memory to the second in which every answer is due, and beyond it. */
const FAST = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
/** Seconds: a hash takes 20 to 40 ms, and waits for five seconds at most. */
const HASHES = [0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
/** Seconds: what a grace is chosen from, then what only a thief or a backup waits for. */
const REPLAYS = [0.05, 0.25, 1, 2, 5, 10, 20, 30, 60, 300, 3600, 86_400]

/** What an alert waits for must have been 0 before: a series that begins at 1 has not grown. */
const RARE_EVENTS: readonly AuditEvent['event'][] = [
  'refresh.reuse',
  'refresh.reuse_observed',
  'refresh.lockstep',
  'refresh.too_far_ahead',
  'refresh.healed',
]

/** Everything that is counted and timed; docs/metrics.md says what each is. */
export type Metrics = ReturnType<typeof createMetrics>

/**
 * Makes the metrics of one server. No label is ever a client, a user, an address or a token: each has values from a
 * short list, so that neither the memory here nor the database there can be filled from outside.
 */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const build = new Gauge({
    name: 'pawl_build_info',
    help: 'Always 1: the version of Pawl and of Node.js.',
    labelNames: ['version', 'node'],
    aggregator: 'first',
    registers,
  })
  build.set({ version: VERSION, node: process.version }, 1)

  const audit = new Counter({
    name: 'pawl_audit_events_total',
    help: 'Audit events by name.',
    labelNames: ['event'],
    registers,
  })
  for (const event of RARE_EVENTS) audit.inc({ event }, 0)

  return {
    registry,
    audit,
    http: new Histogram({
      name: 'pawl_http_request_seconds',
      help: 'Time from the request to the end of its answer.',
      labelNames: ['route', 'status'],
      buckets: FAST,
      registers,
    }),
    tokens: new Counter({
      name: 'pawl_token_requests_total',
      help: 'Requests to the token endpoint by grant type and result.',
      labelNames: ['grant_type', 'result'],
      registers,
    }),
    decisions: new Counter({
      name: 'pawl_refresh_decisions_total',
      help: 'Refresh tokens presented, by what the decision table said.',
      labelNames: ['decision'],
      registers,
    }),
    replayAge: new Histogram({
      name: 'pawl_refresh_replay_age_seconds',
      help: 'Time since the last rotation when an older refresh token came.',
      labelNames: ['decision'],
      buckets: REPLAYS,
      registers,
    }),
    throttled: new Counter({
      name: 'pawl_throttled_total',
      help: 'Attempts that were refused because a budget was used up, by budget.',
      labelNames: ['reason'],
      registers,
    }),
    hash: new Histogram({
      name: 'pawl_password_hash_seconds',
      help: 'Time of a password hash, its waiting for a thread included.',
      labelNames: ['operation'],
      buckets: HASHES,
      registers,
    }),
    hashRefusals: new Counter({
      name: 'pawl_password_hash_refused_total',
      help: 'Password hashes that came to nothing, because too many waited or the time was up.',
      registers,
    }),
    hashesUnderWay: new Gauge({
      name: 'pawl_password_hashes_under_way',
      help: 'Password hashes that run or wait for a thread.',
      registers,
    }),
    store: new Histogram({
      name: 'pawl_store_seconds',
      help: 'Time of a question to the store, by verb.',
      labelNames: ['verb'],
      buckets: FAST,
      registers,
    }),
    storeErrors: new Counter({
      name: 'pawl_store_errors_total',
      help: 'Questions that the store did not answer, by verb.',
      labelNames: ['verb'],
      registers,
    }),
  }
}
