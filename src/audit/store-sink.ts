import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from './event.ts'
import { type AuditSink, countDrops, type OnDropped } from './sink.ts'
import type { AuditTrail } from './trail.ts'

/** Records waiting for a store that is slow or away, beyond which a further one is dropped. */
const MAX_WAITING = 1000
const BATCH = 100
/** A store that has just been started beside the server, or fails over, gets half a minute. */
const PAUSE_MS = 500
const MAX_ATTEMPTS = 60

/**
 * Keeps the latest records in the store. Best effort: one write is under way at a time, and one that fails too often is
 * given up, since the log has it as well. A write whose answer was lost is made twice; the ids tell.
 *
 * @param keep how many records, about.
 */
export function storeSink(trail: AuditTrail, keep: number, onDropped: OnDropped): AuditSink {
  const drops = countDrops(onDropped)
  const closing = new AbortController()
  const waiting: AuditRecord[] = []
  let draining: Promise<void> | undefined

  async function drain(): Promise<void> {
    for (let attempts = 1; waiting.length > 0; attempts += 1) {
      const batch = waiting.slice(0, BATCH)
      try {
        await trail.append(batch, keep)
        waiting.splice(0, batch.length)
        attempts = 0
      } catch (error) {
        if (attempts >= MAX_ATTEMPTS || closing.signal.aborted) {
          waiting.splice(0, batch.length)
          drops.drop(batch.length, (error as Error).message)
          attempts = 0
        }
        await sleep(PAUSE_MS, undefined, { signal: closing.signal }).catch(() => undefined)
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
      // What waits is tried once more, now.
      closing.abort()
      await Promise.race([draining, sleep(limitMs, undefined, { ref: false })])
      drops.drop(waiting.splice(0).length, 'the server stops')
      drops.close()
    },
  }
}
