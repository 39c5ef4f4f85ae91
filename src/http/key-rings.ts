import type { Logger } from 'pino'
import type { Audit } from '../audit/event.ts'
import { ensureKeys, KEY_USES, type Keys, type KeyUse } from '../keys/key-files.ts'
import { type KeyWatch, watchKeys } from '../keys/key-watch.ts'
import { keepRotating } from '../keys/unattended.ts'
import type { Store } from '../stores/contract.ts'
import { longestIdle } from '../stores/longest-idle.ts'

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
 * @throws {KeyFileError} when it cannot be read to begin with.
 */
export async function openKeyRings(keysDir: string, log: Logger, audit: Audit): Promise<KeyWatch> {
  await ensureKeys(keysDir)
  return watchKeys(keysDir, {
    onChange: (before, after) => {
      for (const use of KEY_USES) reportChange(use, before, after, audit)
    },
    onFault: ({ message }) =>
      log.error({ reason: message }, 'the keys cannot be read; those read before stay in use'),
    onRecovery: () => log.info('the keys can be read again'),
  })
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
    longestIdle: () => longestIdle(store.clients, refreshTokenIdleTtl),
    onFault: ({ message }) =>
      log.error({ reason: message }, 'the keys could not be rotated; it is tried again'),
  })
}

function reportChange(use: KeyUse, before: Keys, after: Keys, audit: Audit): void {
  const [old, now] = [ringOf(before, use), ringOf(after, use)]
  for (const kid of now.ids) if (!old.ids.includes(kid)) audit({ event: 'key.generated', use, kid })
  if (now.active !== old.active) audit({ event: 'key.promoted', use, kid: now.active })
  for (const kid of old.ids) if (!now.ids.includes(kid)) audit({ event: 'key.retired', use, kid })
}

function ringOf({ signing, refresh }: Keys, use: KeyUse): { active: string; ids: readonly string[] } {
  return use === 'signing'
    ? { active: signing.active.kid, ids: signing.published.map(({ kid }) => kid) }
    : { active: refresh.activeId, ids: [...refresh.macKeys.keys()] }
}
