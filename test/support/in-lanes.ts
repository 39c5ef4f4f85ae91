/** Each of them is a process or more, and ten that start at once have no time left to answer one another. */
const LANES = 3

/** Does the work for each item, three at a time. */
export async function inLanes<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = items.values()
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const item of left) await work(item)
    }),
  )
}
