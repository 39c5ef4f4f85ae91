/** What an audit event is about. No member ever holds a token, a password or a secret. */
export interface AuditEvent {
  readonly event:
    | 'sign_in.succeeded'
    | 'sign_in.failed'
    | 'sign_in.throttled'
    | 'refresh.replayed'
    | 'refresh.lockstep'
    | 'refresh.reuse'
    | 'refresh.reuse_observed'
    | 'refresh.healed'
    | 'refresh.too_far_ahead'
    | 'refresh.after_revocation'
    | 'session.revoked'
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
}

/** Takes an audit event; docs/audit-events.md is the vocabulary. */
export type Audit = (event: AuditEvent) => void
