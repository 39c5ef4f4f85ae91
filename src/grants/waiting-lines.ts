import { setTimeout as sleep } from 'node:timers/promises'
import { type ThrottledError, UnavailableError } from '../oauth/errors.ts'

/** Attempts that may wait in one line, so that none shuts out those of the others. */
const MAX_WAITING = 100
const PATIENCE_MS = 5000
/** How often the first in line looks whether another server has given something back. */
const LOOK_AGAIN_MS = 50

/** Refused for good, by one of the names. */
interface Refused {
  readonly refusedBy: string
  readonly error: ThrottledError
}

/** What is asked for and to be had at once, or held by others for a moment, or refused. */
type Asked<T> = T | { readonly wait: string } | Refused

/** Waiting, one behind the other, for what others hold for a moment. */
export interface WaitingLines {
  /**
   * Asks until the answer is not `wait`. Of those who ask for the same, one does so at a time. One who is refused says
   * so to those in the line of that name, and to no others: what one's own name refuses, they may well get.
   *
   * @param names of what is asked for, those that fewest others ask for first.
   * @param ask says whether it has to wait or is refused, and for which of the names.
   * @throws {ThrottledError} when it is refused.
   * @throws {UnavailableError} when too many wait for the same, or it took too long.
   */
  pass<T extends object>(names: readonly string[], ask: () => Promise<Asked<T>>): Promise<T>
  /** Lets those that are first in the lines of these names ask again at once. */
  wake(names: readonly string[]): void
}

interface Line {
  last: Promise<void>
  length: number
  /** Whether its name refused the one before: then all ask at once, and hear it without waiting for each other. */
  isOver: boolean
  wake: () => void
}

export function createWaitingLines(): WaitingLines {
  const lines = new Map<string, Line>()

  async function pass<T extends object>(
    names: readonly string[],
    ask: () => Promise<Asked<T>>,
    end: number,
    at: number,
  ): Promise<T | Refused> {
    const name = names[at]!
    const line = lines.get(name) ?? {
      last: Promise.resolve(),
      length: 0,
      isOver: false,
      wake: () => undefined,
    }
    // Who is first is one more than those who wait.
    if (line.length > MAX_WAITING) throw new UnavailableError('Too many sign-ins are waiting')
    lines.set(name, line)
    const ahead = line.last
    let leave: () => void = () => undefined
    line.last = new Promise((resolve) => {
      leave = resolve
    })
    line.length += 1
    // A slow store, or patience at its end, says nothing of what the next one will hear.
    const heard = (answer: T | Refused) => {
      if ('refusedBy' in answer && answer.refusedBy === name) line.isOver = true
      return answer
    }
    try {
      await ahead
      if (line.isOver) leave()
      while (performance.now() < end) {
        const woken = new Promise<void>((resolve) => {
          line.wake = resolve
        })
        const answer = await ask()
        if (!('wait' in answer)) return heard(answer)
        line.isOver = false
        // Only onward, so that no two wait for each other.
        const next = names.indexOf(answer.wait)
        if (next > at) return heard(await pass(names, ask, end, next))
        await Promise.race([woken, sleep(LOOK_AGAIN_MS)])
      }
      throw new UnavailableError('Too many sign-ins are waiting')
    } finally {
      line.length -= 1
      if (line.length === 0) lines.delete(name)
      leave()
    }
  }

  return {
    async pass(names, ask) {
      const answer = await pass(names, ask, performance.now() + PATIENCE_MS, 0)
      if ('refusedBy' in answer) throw answer.error
      return answer
    },
    wake(names) {
      for (const name of names) lines.get(name)?.wake()
    },
  }
}
