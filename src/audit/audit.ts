import { type Audit, recordOf } from './event.ts'
import type { AuditSink } from './sink.ts'

/** Audit events on their way to wherever they are told. */
export interface Auditing {
  readonly audit: Audit
  /** Gives what still waits its last chance, within `limitMs`. */
  close(limitMs: number): Promise<void>
}

/** Tells each event to every sink. */
export function createAuditing(sinks: readonly AuditSink[]): Auditing {
  return {
    audit(event) {
      const record = recordOf(event)
      for (const sink of sinks) sink.take(record)
    },
    async close(limitMs) {
      await Promise.all(sinks.map((sink) => sink.close(limitMs)))
    },
  }
}
