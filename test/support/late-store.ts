import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './http-client.ts'

const RETRY_MS = 50

/** Whether the store was too late for an answer, as it is now and then on a busy machine; of damage and of keys other things are said. */
export function isStoreLate({ status, json }: Answer): boolean {
  return status === 503 && String(json?.detail).startsWith('The store ')
}

/**
 * Asks again while the store is late, as good clients do.
 *
 * @returns the last answer, and how often it was asked again.
 */
export async function pastLateStore(
  ask: () => Promise<Answer>,
  most = 20,
): Promise<{ answer: Answer; again: number }> {
  for (let again = 0; ; again += 1) {
    const answer = await ask()
    if (again === most || !isStoreLate(answer)) return { answer, again }
    await sleep(RETRY_MS)
  }
}
