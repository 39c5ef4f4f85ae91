import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from './event.ts'
import { type AuditSink, countDrops, type OnDropped } from './sink.ts'
import type { AuditTrail } from './trail.ts'

/** Records waiting for a store that is slow, beyond which a further one is dropped. */
const MAX_WAITING = 1000
const BATCH = 100

/**
 * Keeps the latest records in the store. Best effort: one write is under way at a time, and what it was to write is
 * dropped when it fails, since the log has it as well.
 *
 * @param keep how many records, about.
 */
export function storeSink(trail: AuditTrail, keep: number, onDropped: OnDropped): AuditSink {
  const drops = countDrops(onDropped)
  let waiting: AuditRecord[] = []
  let draining: Promise<void> | undefined

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH)
      try {
        await trail.append(batch, keep)
      } catch (error) {
        drops.drop(batch.length, (error as Error).message)
      }
    }
    draining = undefined
  }

  return {
    take(record) {
      if (waiting.length >= MAX_WAITING) return drops.drop(1, 'too many are waiting')
      waiting.push(record)
      draining ??= drain()
    },
    async close(limitMs) {
      await Promise.race([draining, sleep(limitMs, undefined, { ref: false })])
      if (waiting.length > 0) drops.drop(waiting.length, 'the server stops')
      waiting = []
      drops.close()
    },
  }
}
