import { once } from 'node:events'
import { rotate } from '../../src/keys/rotation.ts'
import { refreshRingSettings, signingRingSettings } from '../../src/tokens/key-ring.ts'

/*
 * A process that rotates the rings of a KEYS_DIR whenever it is told the folder, and tells what it did.
 */
process.send?.('here')
for (;;) {
  const [folder] = await once(process, 'message')
  try {
    const signing = await rotate({ folder, ring: 'signing', settings: signingRingSettings(0) })
    const refresh = await rotate({ folder, ring: 'refresh', settings: refreshRingSettings(0, 3600) })
    process.send?.({ taken: [...signing.taken, ...refresh.taken].map(({ kind }) => kind) })
  } catch (error) {
    process.send?.({ error: (error as Error).message })
  }
}
