import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks again and again until the answer is truthy, and returns that answer.
 *
 * @param what completes the sentence "waited N ms until …" of the error
 * @param timeoutMs generous by default: the machine may be busy with other things
 * @throws Error after `timeoutMs`, with the last error that `ask` threw as its cause
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = 30_000,
): Promise<Exclude<T, undefined | null | false>> {
  const end = performance.now() + timeoutMs
  let cause: unknown
  do {
    try {
      const answer = await ask()
      if (answer) return answer as Exclude<T, undefined | null | false>
    } catch (error) {
      cause = error
    }
    await sleep(25)
  } while (performance.now() < end)
  throw new Error(`waited ${timeoutMs} ms until ${what}`, { cause })
}
