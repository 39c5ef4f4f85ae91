import { setTimeout as sleep } from 'node:timers/promises'

/** Until the first time that it is tried again; then twice as long each time, since each may have worked unheard. */
const AGAIN_MS = 1000

/**
 * Does what must be done even where the one who asks cannot wait for it: when it fails it is tried a few times more,
 * unheard, for so long.
 *
 * @throws what it threw the first time.
 */
export async function insist(act: () => Promise<void>, forMs: number): Promise<void> {
  const end = performance.now() + forMs
  const again = async () => {
    for (let waitMs = AGAIN_MS; performance.now() + waitMs < end; waitMs *= 2) {
      // No reason to keep a process alive: what nobody was told of may be forgotten.
      await sleep(waitMs, undefined, { ref: false })
      try {
        return await act()
      } catch {}
    }
  }
  try {
    await act()
  } catch (error) {
    void again()
    throw error
  }
}
