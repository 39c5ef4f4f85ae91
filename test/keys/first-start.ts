import { once } from 'node:events'
import { ensureKeys, loadKeys } from '../../src/keys/key-files.ts'

/*
 * A server's first start as far as its keys are concerned: makes and loads those of the
 * folder that it is told, and tells what it got.
 */
const ALGORITHMS = ['ES256', 'RS256'] as const
process.send?.('here')
const [folder] = await once(process, 'message')
try {
  await ensureKeys(folder, ALGORITHMS)
  const { signing, refresh } = await loadKeys(folder, ALGORITHMS)
  process.send?.({
    kid: signing.active.kid,
    published: signing.published.map(({ kid }) => kid),
    secret: refresh.activeId,
    macKey: refresh.macKeys.get(refresh.activeId)?.toString('hex'),
  })
} catch (error) {
  process.send?.({ error: (error as Error).message })
}
