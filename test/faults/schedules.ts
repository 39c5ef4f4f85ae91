/** Something that waits for its turn at each of its await points. */
export type Operation<T> = (pause: () => Promise<void>) => Promise<T>

/** What became of one operation, and when: before which step it had not begun, and after which it was over. */
export interface Played<T> {
  readonly outcome: T
  readonly begun: number
  readonly over: number
}

/** How often an order is played, at most. */
const MOST_TIMES = 10

interface Choice {
  readonly picked: number
  readonly of: number
}

/**
 * Plays operations against each other in every order of their steps, one order at a time: a step is what an operation
 * does from one of its pauses to the next. No luck is in it, and nothing is left out.
 *
 * @param prepare makes the operations anew, and judges what became of them.
 * @param isPassing whether an error is one that may pass, such as a machine that is too busy: its order is played again.
 * @returns how many orders there were.
 */
export async function playAllOrders<T>(
  prepare: () => Promise<{
    readonly operations: readonly Operation<T>[]
    judge(played: readonly Played<T>[], order: string): Promise<void>
  }>,
  isPassing: (error: unknown) => boolean,
): Promise<number> {
  let count = 0
  let again = 0
  for (let next: number[] | undefined = []; next; ) {
    try {
      const { operations, judge } = await prepare()
      const { played, choices, order } = await play(operations, next)
      await judge(played, order.join(''))
      count += 1
      next = after(choices)
      again = 0
    } catch (error) {
      again += 1
      if (again === MOST_TIMES || !isPassing(error)) throw error
    }
  }
  return count
}

async function play<T>(operations: readonly Operation<T>[], picks: readonly number[]) {
  const paused = new Map<number, () => void>()
  const order: number[] = []
  const choices: Choice[] = []
  let stopped = () => {}
  let hasFailed = false
  const playing = operations.map(async (operation, i): Promise<Played<T>> => {
    const pause = () =>
      new Promise<void>((resolve) => {
        paused.set(i, resolve)
        stopped()
      })
    await pause()
    const begun = order.length
    try {
      return { outcome: await operation(pause), begun, over: order.length }
    } catch (error) {
      hasFailed = true
      throw error
    } finally {
      stopped()
    }
  })
  // One that fails is heard of at the end, when the others are over.
  const settled = Promise.allSettled(playing)
  while (paused.size > 0) {
    const ready = [...paused.keys()].sort()
    // What fails has other steps than were reckoned with; the rest only has to end.
    const picked = hasFailed ? 0 : (picks[choices.length] ?? 0)
    choices.push({ picked, of: ready.length })
    const i = ready[picked]!
    const resume = paused.get(i)!
    paused.delete(i)
    order.push(i)
    await new Promise<void>((resolve) => {
      stopped = resolve
      resume()
    })
  }
  await settled
  return { played: await Promise.all(playing), choices, order }
}

/** The picks of the next order, or `undefined` after the last one. */
function after(choices: readonly Choice[]): number[] | undefined {
  const last = choices.findLastIndex(({ picked, of }) => picked + 1 < of)
  if (last < 0) return undefined
  return choices.slice(0, last + 1).map(({ picked }, at) => (at === last ? picked + 1 : picked))
}

/** Every order of the numbers below `count`. */
export function permutations(count: number): number[][] {
  if (count === 0) return [[]]
  return permutations(count - 1).flatMap((shorter) =>
    Array.from({ length: count }, (_, at) => [...shorter.slice(0, at), count - 1, ...shorter.slice(at)]),
  )
}
