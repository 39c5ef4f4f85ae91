import { randomBytes } from 'node:crypto'

/** Who brought an event about: a request of a client, the command line, or the server of its own accord. */
export type Actor = 'client' | 'operator' | 'server'

/**
 * The vocabulary, each event with its usual actor; docs/audit-events.md says when each is told. Names are for good: one
 * may come, none may go or change its meaning.
 */
const AUDIT_EVENTS = {
  'sign_in.succeeded': 'client',
  'sign_in.failed': 'client',
  'sign_in.throttled': 'client',
  'refresh.replayed': 'client',
  'refresh.lockstep': 'client',
  'refresh.reuse': 'client',
  'refresh.reuse_observed': 'client',
  'refresh.healed': 'client',
  'refresh.too_far_ahead': 'client',
  'refresh.after_revocation': 'client',
  'session.revoked': 'client',
  'user.created': 'operator',
  'user.imported': 'operator',
  'user.changed': 'operator',
  'user.password_changed': 'operator',
  'user.disabled': 'operator',
  'user.enabled': 'operator',
  'user.deleted': 'operator',
  'user.unlocked': 'operator',
  'client.created': 'operator',
  'client.changed': 'operator',
  'client.secret_rotated': 'operator',
  'client.disabled': 'operator',
  'client.enabled': 'operator',
  'client.deleted': 'operator',
  'key.generated': 'server',
  'key.promoted': 'server',
  'key.retired': 'server',
  'server.started': 'server',
  'server.stopped': 'server',
} as const satisfies Record<string, Actor>

export type AuditEventName = keyof typeof AUDIT_EVENTS

/** What an audit event is about. No member ever holds a token, a password, a secret or a user name. */
export interface AuditEvent {
  readonly event: AuditEventName
  /** Unless it is the usual one. */
  readonly actor?: Actor
  readonly client_id?: string
  readonly sub?: string
  readonly sid?: string
  /** The generation presented. */
  readonly presented?: number
  /** The generation in the record. */
  readonly current?: number
  readonly network?: string
  readonly agent?: string
  readonly reason?: string
  /** The names of the members that were changed, never their values. */
  readonly changed?: readonly string[]
  /** What a key is for, `signing` or `refresh`, and its id. */
  readonly use?: string
  readonly kid?: string
  /** By variable name, secrets redacted. */
  readonly configuration?: Readonly<Record<string, unknown>>
}

/** An event that has happened: the same, by id, wherever it is told. */
export interface AuditRecord extends AuditEvent {
  readonly id: string
  /** ISO 8601, UTC, milliseconds; by the clock of who tells it. */
  readonly time: string
  readonly actor: Actor
}

/** Takes an audit event, never fails and never waits; docs/audit-events.md is the vocabulary. */
export type Audit = (event: AuditEvent) => void

export function recordOf(event: AuditEvent): AuditRecord {
  return {
    id: `evt_${randomBytes(12).toString('base64url')}`,
    time: new Date().toISOString(),
    actor: AUDIT_EVENTS[event.event],
    ...event,
  }
}
