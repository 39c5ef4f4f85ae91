import { setImmediate, setTimeout as sleep } from 'node:timers/promises'

/**
 * Reads without a pause while something is changed, as a busy server would, and once more as soon as that is done.
 *
 * @returns what was read meanwhile, and what right after.
 */
export async function readAlong<R, C>(read: () => Promise<R>, change: () => Promise<C>) {
  const during: R[] = []
  let done = false
  const reading = (async () => {
    while (!done) {
      during.push(await read())
      await setImmediate()
    }
  })()
  while (during.length < 3) await sleep(5)
  const result = await change()
  const after = await read()
  done = true
  await reading
  return { result, after, during }
}
