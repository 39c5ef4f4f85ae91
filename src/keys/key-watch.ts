import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RefreshSecretRing } from '../tokens/refresh-token.ts'
import type { Signer, SigningAlg, SigningKeys } from '../tokens/signing-key.ts'
import { KeyFileError } from './files.ts'
import { fingerprintOf, type Keys, loadKeysOf } from './key-files.ts'
import { type KeyUse, signingRingOf } from './rings.ts'

/** Notices of a changed file do not come from every network file system; so it is looked at. */
const LOOK_EVERY_MS = 1000
/** Between two looks that are asked for out of turn. */
const LOOK_APART_MS = 250

/** What a server goes by while KEYS_DIR changes under it. */
export interface KeyWatch extends Keys {
  /**
   * Looks out of turn, at most four times a second: for a token under a key that this server does not know.
   *
   * @throws the error of the last reading while KEYS_DIR cannot be read: what is not known then may well be there.
   */
  lookNow(): Promise<void>
  close(): Promise<void>
}

/** By their names: the keys that are published or verify, and those that new tokens are made with. */
export type KeysInUse = Readonly<
  Record<KeyUse, { readonly ids: readonly string[]; readonly active: readonly string[] }>
>

export interface KeyWatchOptions {
  /** The keys that this server goes by have changed, or which of them sign. */
  readonly onChange: (before: KeysInUse, after: KeysInUse) => void
  /** They cannot be read, for one more reason; the server goes by those that it has. */
  readonly onFault: (error: Error) => void
  /** They can be read again. */
  readonly onRecovery: () => void
}

/**
 * Reads KEYS_DIR and goes on looking at it. The rings are live: their members are those of the last good reading, always
 * of one and the same.
 *
 * @param algorithms those to sign with, the default first.
 * @throws {KeyFileError} when it cannot be read to begin with.
 */
export async function watchKeys(
  folder: string,
  algorithms: readonly SigningAlg[],
  options: KeyWatchOptions,
): Promise<KeyWatch> {
  let { keys, fingerprint } = await loadKeysOf(folder, algorithms)
  let inUse = inUseOf(keys)
  let fault: Error | undefined
  let lookedAt = 0
  const closing = new AbortController()

  async function look(): Promise<void> {
    lookedAt = performance.now()
    try {
      // After a fault the files may be as they were, and readable again all the same.
      if (fault || (await fingerprintOf(folder)) !== fingerprint) {
        const read = await loadKeysOf(folder, algorithms)
        requireRings(folder, algorithms, keys, read.keys)
        ;({ keys, fingerprint } = read)
      }
      // Without any change of the files a key begins to sign when its time has come.
      const before = inUse
      inUse = inUseOf(keys)
      if (JSON.stringify(before) !== JSON.stringify(inUse)) options.onChange(before, inUse)
      if (fault) options.onRecovery()
      fault = undefined
    } catch (error) {
      const isNew = fault?.message !== (error as Error).message
      fault = error as Error
      if (isNew) options.onFault(fault)
    }
  }

  // One look at a time, however long a file system takes.
  let looking: Promise<void> | undefined
  const lookAlone = () => {
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
  const timer = setInterval(() => void lookAlone(), LOOK_EVERY_MS).unref()

  let asked: Promise<void> | undefined
  async function lookSoon(): Promise<void> {
    // One that is under way may have begun before what is asked for was there.
    await looking
    const pause = lookedAt + LOOK_APART_MS - performance.now()
    if (pause > 0) await sleep(pause, undefined, { signal: closing.signal }).catch(() => {})
    // One may have begun by itself meanwhile, before somebody who asked later.
    await looking
    asked = undefined
    await lookAlone()
  }

  const signing: SigningKeys = {
    get active() {
      return keys.signing.active
    },
    get published() {
      return keys.signing.published
    },
    get algorithms() {
      return keys.signing.algorithms
    },
    of: (alg) => keys.signing.of(alg),
  }
  const refresh: RefreshSecretRing = {
    get activeId() {
      return keys.refresh.activeId
    },
    get macKeys() {
      return keys.refresh.macKeys
    },
  }
  return {
    signing,
    refresh,
    get signers(): readonly Signer[] {
      return keys.signers
    },
    async lookNow() {
      asked ??= lookSoon()
      await asked
      if (fault) throw fault
    },
    async close() {
      clearInterval(timer)
      closing.abort()
      await asked
      await looking
    },
  }
}

/** A ring that is signed with and vanishes is an accident; one that SIGNING_ALG no longer names may be taken away. */
function requireRings(folder: string, algorithms: readonly SigningAlg[], before: Keys, after: Keys): void {
  const has = ({ signers }: Keys, alg: SigningAlg) => signers.some(({ key }) => key.alg === alg)
  const lost = algorithms.find((alg) => has(before, alg) && !has(after, alg))
  if (lost === undefined) return
  const ring = join(folder, signingRingOf(lost))
  throw new KeyFileError(ring, 'is missing', `Put it back, or start without ${lost} in SIGNING_ALG.`)
}

function inUseOf({ signing, refresh, signers }: Keys): KeysInUse {
  const sign = (kid: string) => signing.algorithms.some((alg) => signing.of(alg).kid === kid)
  return {
    signing: {
      ids: signing.published.map(({ kid }) => kid),
      active: signers.map(({ key }) => key.kid).filter(sign),
    },
    refresh: { ids: [...refresh.macKeys.keys()], active: [refresh.activeId] },
  }
}
