import type { AuditRecord } from './event.ts'

/** One of the places where audit events are told. */
export interface AuditSink {
  /** Takes a record; never fails and never waits. */
  take(record: AuditRecord): void
  /** Gives what still waits its last chance, within `limitMs`. */
  close(limitMs: number): Promise<void>
}

/** Told how many records a sink had to drop since it told so last, and why the last of them was. */
export type OnDropped = (dropped: number, reason: string) => void

/** Drops may come by the thousand; this often they are told of, summed up. */
const TELL_EVERY_MS = 10_000

/** Sums up what is dropped. The first one is told at once. */
export function countDrops(onDropped: OnDropped) {
  let dropped = 0
  let lastReason = ''
  let timer: NodeJS.Timeout | undefined
  const tell = () => {
    clearTimeout(timer)
    timer = undefined
    if (dropped === 0) return
    onDropped(dropped, lastReason)
    dropped = 0
    timer = setTimeout(tell, TELL_EVERY_MS).unref()
  }
  return {
    drop(count: number, reason: string): void {
      if (count === 0) return
      dropped += count
      lastReason = reason
      if (!timer) tell()
    },
    /** Tells what has not been told yet, and ends. */
    close(): void {
      tell()
      clearTimeout(timer)
    },
  }
}
