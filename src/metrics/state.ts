import { Gauge } from '@platformatic/prom-client'
import type { Store } from '../stores/contract.ts'
import type { SigningKeys } from '../tokens/signing-key.ts'
import type { Metrics } from './metrics.ts'

/** What is looked at when somebody asks for the metrics, and at no other time. */
export interface State {
  readonly store: Store
  /** The keys as they are now. */
  readonly signing: () => SigningKeys
  /** Since when the active signing key signs, in milliseconds since 1970; `undefined` when that cannot be told. */
  readonly signsSince: () => number | undefined
}

/** A server's neighbours see the same store and the same keys: of several the one figure counts, not the sum. */
const SHARED = 'max'

export function gaugeState({ registry }: Metrics, { store, signing, signsSince }: State): void {
  const registers = [registry]
  new Gauge({
    name: 'pawl_signing_key_age_seconds',
    help: 'How long the active signing key has been signing.',
    aggregator: SHARED,
    registers,
    collect() {
      const since = signsSince()
      if (since === undefined) this.remove()
      else this.set(Math.max(0, (Date.now() - since) / 1000))
    },
  })
  new Gauge({
    name: 'pawl_signing_keys_published',
    help: 'Public keys in the JWKS.',
    aggregator: SHARED,
    registers,
    collect() {
      this.set(signing().published.length)
    },
  })
  new Gauge({
    name: 'pawl_families',
    help: 'Refresh-token families in the store, ended ones that are not cleared away yet included; missing while the store does not answer.',
    aggregator: SHARED,
    registers,
    async collect() {
      try {
        this.set(await store.families.count())
      } catch {
        this.remove()
      }
    },
  })
}
