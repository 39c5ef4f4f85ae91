import { setTimeout as sleep } from 'node:timers/promises'

const AGAIN_MS = 1000

/**
 * Does what must be done even where the one who asks cannot wait for it: when it fails it is tried again each second,
 * unheard, for so long.
 *
 * @throws what it threw the first time.
 */
export async function insist(act: () => Promise<void>, forMs: number): Promise<void> {
  const end = performance.now() + forMs
  const again = async () => {
    while (performance.now() + AGAIN_MS < end) {
      // No reason to keep a process alive: what nobody was told of may be forgotten.
      await sleep(AGAIN_MS, undefined, { ref: false })
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
