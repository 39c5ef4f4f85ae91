import type { Logger } from 'pino'
import type { Audit } from '../audit/event.ts'
import { ensureKeys } from '../keys/key-files.ts'
import { type KeysInUse, type KeyWatch, watchKeys } from '../keys/key-watch.ts'
import { KEY_USES, type KeyUse } from '../keys/rings.ts'
import { keepRotating } from '../keys/unattended.ts'
import type { Store } from '../stores/contract.ts'
import { longestIdle } from '../stores/longest-idle.ts'
import type { SigningAlg } from '../tokens/signing-key.ts'

/** What a server needs to know of a KEYS_DIR. */
export interface KeyRingSettings {
  readonly keysDir: string
  /** Seconds; 0 where nobody is to rotate but by command. */
  readonly keyRotationInterval: number
  readonly refreshTokenIdleTtl: number
}

/**
 * Opens a KEYS_DIR for a server: makes its first keys, follows its changes, and says what changes.
 *
 * @param algorithms SIGNING_ALG.
 * @throws {KeyFileError} when it cannot be read to begin with.
 */
export async function openKeyRings(
  keysDir: string,
  algorithms: readonly SigningAlg[],
  log: Logger,
  audit: Audit,
): Promise<KeyWatch> {
  await ensureKeys(keysDir, algorithms)
  const watch = await watchKeys(keysDir, algorithms, {
    onChange: (before, after) => {
      for (const use of KEY_USES) reportChange(use, before, after, audit)
    },
    onFault: ({ message }) =>
      log.error({ reason: message }, 'the keys cannot be read; those read before stay in use'),
    onRecovery: () => log.info('the keys can be read again'),
  })
  for (const { key, from } of watch.signers.filter(({ from }) => from > Date.now())) {
    log.info(
      {
        alg: key.alg,
        kid: key.kid,
        signs_from: new Date(from).toISOString(),
        until_then: watch.signing.active.alg,
      },
      'a key of a new algorithm is published, and signs when every verifier knows it',
    )
  }
  return watch
}

/** Rotates without being told, where that is configured. */
export function rotateUnattended(
  { keysDir, keyRotationInterval, refreshTokenIdleTtl }: KeyRingSettings,
  store: Store,
  log: Logger,
): { close(): Promise<void> } {
  if (keyRotationInterval === 0) return { close: async () => {} }
  return keepRotating({
    folder: keysDir,
    interval: keyRotationInterval,
    longestIdle: () =>
      longestIdle(store.clients, refreshTokenIdleTtl, ({ cause }) =>
        log.error(
          { reason: (cause as Error).message },
          'a client is damaged: the active refresh-token secret will be kept for ten years when it retires',
        ),
      ),
    onFault: ({ message }) =>
      log.error({ reason: message }, 'the keys could not be rotated; it is tried again'),
  })
}

function reportChange(use: KeyUse, { [use]: old }: KeysInUse, { [use]: now }: KeysInUse, audit: Audit): void {
  for (const kid of now.ids) if (!old.ids.includes(kid)) audit({ event: 'key.generated', use, kid })
  for (const kid of now.active) if (!old.active.includes(kid)) audit({ event: 'key.promoted', use, kid })
  for (const kid of old.ids) if (!now.ids.includes(kid)) audit({ event: 'key.retired', use, kid })
}
