import { UnavailableError } from '../oauth/errors.ts'

/**
 * Questions that have no answer yet, whoever still waits for it, beyond which a further one is refused: a store that is
 * silent, or slow, must not fill the memory.
 */
const MAX_UNDER_WAY = 10_000

/**
 * The time for an answer is counted in so many parts, one after the other. When this process was held up, timers come
 * before what has arrived meanwhile is read: the one part is over then, and an answer that lies there is still in time.
 */
const PARTS = 4

/**
 * Makes a guard around the questions to a store: whatever goes wrong, or takes too long, is `UnavailableError`.
 *
 * @param limitMs the time for an answer, in which this process runs.
 */
export function answersWithin(limitMs: number) {
  let underWay = 0
  const over =
    <T>(tell: (outcome: T) => void) =>
    (outcome: T) => {
      underWay -= 1
      tell(outcome)
    }
  return async <T>(question: () => Promise<T>): Promise<T> => {
    if (underWay >= MAX_UNDER_WAY) throw new UnavailableError('The store has too much to answer')
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        let parts = PARTS
        timer = setTimeout(() => {
          parts -= 1
          if (parts > 0) timer?.refresh()
          else reject(new Error(`no answer within ${limitMs} ms`))
        }, limitMs / PARTS)
        const answer = question()
        underWay += 1
        answer.then(over(resolve), over(reject))
      })
    } catch (error) {
      // It did answer, and what it holds is our trouble already.
      if (error instanceof UnavailableError) throw error
      throw new UnavailableError('The store does not answer', { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}
