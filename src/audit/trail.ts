import type { AuditRecord } from './event.ts'

/** Where in the trail a record stands; texts that only the same store understands. */
export interface TrailEntry {
  readonly cursor: string
  readonly record: AuditRecord
}

/** The latest audit events, kept in the store for `pawl audit list`, whichever server or command told them. */
export interface AuditTrail {
  /** Adds the records, and forgets older ones beyond about `keep`, or a hundred more. */
  append(records: readonly AuditRecord[], keep: number): Promise<void>
  /** The oldest first. @param after the cursor to go on from. */
  list(after?: string): AsyncIterable<TrailEntry>
}
