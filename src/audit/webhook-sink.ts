import { setTimeout as sleep } from 'node:timers/promises'
import { NoAnswerError, postWebhook, type WebhookTarget } from '../webhooks/post.ts'
import type { AuditRecord } from './event.ts'
import { type AuditSink, countDrops, type OnDropped } from './sink.ts'

/** Records waiting for a receiver that is slow or down, beyond which a further one is dropped. */
const MAX_WAITING = 10_000
const LIMITS = { timeLimitMs: 5000, maxAnswerBytes: 16 * 1024 }
/** A record is tried this often, for one to two minutes, so that one that the receiver cannot take does not hold up all. */
const MAX_ATTEMPTS = 9
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 60_000

/** The body of a message, in the form that Standard Webhooks recommends. */
export function messageOf(record: AuditRecord): string {
  const { time, ...data } = record
  return JSON.stringify({ type: record.event, timestamp: time, data })
}

/**
 * Delivers records one after the other, each until the receiver has answered 2xx: in order, and at least once, by the
 * same `webhook-id` each time.
 */
export function webhookSink(target: WebhookTarget, onDropped: OnDropped): AuditSink {
  const drops = countDrops(onDropped)
  const closing = new AbortController()
  const cutting = new AbortController()
  let waiting: AuditRecord[] = []
  let delivering: Promise<void> | undefined

  /** @returns why it was not taken, or `undefined` when it was. */
  async function attempt(record: AuditRecord): Promise<string | undefined> {
    const message = { id: record.id, body: messageOf(record) }
    try {
      const { status } = await postWebhook(target, message, { ...LIMITS, signal: cutting.signal })
      return status >= 200 && status < 300 ? undefined : `status ${status}`
    } catch (error) {
      if (error instanceof NoAnswerError) return error.message
      throw error
    }
  }

  async function deliver(): Promise<void> {
    let attempts = 0
    for (let record = waiting[0]; record !== undefined; record = waiting[0]) {
      const failure = await attempt(record)
      if (cutting.signal.aborted) break
      attempts += 1
      if (failure === undefined || attempts >= MAX_ATTEMPTS) {
        if (failure !== undefined) drops.drop(1, failure)
        waiting.shift()
        attempts = 0
      } else {
        await pause(attempts)
      }
    }
    delivering = undefined
  }

  /** Doubles each time, and is drawn between half of that and all of it, so that several servers do not knock at once. */
  async function pause(attempts: number): Promise<void> {
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempts - 1))
    const ms = closing.signal.aborted ? FIRST_PAUSE_MS / 2 : longest * (0.5 + Math.random() / 2)
    await sleep(ms, undefined, { signal: closing.signal.aborted ? cutting.signal : closing.signal }).catch(
      () => undefined,
    )
  }

  return {
    take(record) {
      if (waiting.length >= MAX_WAITING) return drops.drop(1, 'too many are waiting')
      waiting.push(record)
      delivering ??= deliver()
    },
    async close(limitMs) {
      // Who waits for the next attempt makes it now.
      closing.abort()
      const timer = setTimeout(() => cutting.abort(), limitMs)
      await delivering
      clearTimeout(timer)
      if (waiting.length > 0) drops.drop(waiting.length, 'the server stops')
      waiting = []
      drops.close()
    },
  }
}
