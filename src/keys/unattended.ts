import { nextStep, refreshRingSettings, signingRingSettings } from '../tokens/key-ring.ts'
import { ringsIn, useOfRing } from './rings.ts'
import { type RingOptions, readRing, rotate } from './rotation.ts'

const LOOK_EVERY_MS = 5000
const ASK_EVERY_MS = 3_600_000

export interface UnattendedOptions {
  /** KEYS_DIR. */
  readonly folder: string
  /** KEY_ROTATION_INTERVAL: seconds for which a key is active. */
  readonly interval: number
  /** Tells the longest time for which a session lives without a refresh, for the server or any client, in seconds. */
  readonly longestIdle: () => Promise<number>
  /** A step could not be taken, for one more reason; it is tried again. */
  readonly onFault: (error: Error) => void
}

/** Rotation that nobody has to think of. Every server of a KEYS_DIR may do it: each step is taken by one. */
export function keepRotating({ folder, interval, longestIdle, onFault }: UnattendedOptions): {
  close(): Promise<void>
} {
  let idle: { seconds: number; askedAt: number } | undefined
  let fault: string | undefined

  async function takeSteps(): Promise<void> {
    // Whatever signs today: a client may ask for each.
    for (const ring of (await ringsIn(folder)).filter((ring) => useOfRing(ring) === 'signing')) {
      await rotate({ folder, ring, settings: signingRingSettings(interval) })
    }
    // What a session may live under a secret is settled when the secret is followed by another; asked for now and then
    // besides, so that a lifetime that has been shortened since counts as it was.
    if (!idle || performance.now() - idle.askedAt > ASK_EVERY_MS || (await isPromotionDue(idle.seconds))) {
      idle = { seconds: await longestIdle(), askedAt: performance.now() }
    }
    await rotate(refreshRing(idle.seconds))
  }
  async function isPromotionDue(seconds: number): Promise<boolean> {
    const options = refreshRing(seconds)
    return nextStep(await readRing(options), Date.now(), options.settings).kind === 'promote'
  }
  const refreshRing = (seconds: number): RingOptions => ({
    folder,
    ring: 'refresh',
    settings: refreshRingSettings(interval, seconds),
  })

  let working: Promise<void> | undefined
  const work = () => {
    working ??= takeSteps()
      .then(() => {
        fault = undefined
      })
      .catch((error: Error) => {
        if (fault !== error.message) onFault(error)
        fault = error.message
      })
      .finally(() => {
        working = undefined
      })
  }
  const timer = setInterval(work, LOOK_EVERY_MS).unref()
  work()
  return {
    async close() {
      clearInterval(timer)
      await working
    },
  }
}
