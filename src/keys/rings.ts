import { join } from 'node:path'
import type { SigningAlg } from '../tokens/signing-key.ts'
import { exists } from './files.ts'

/** What keys are for. */
export const KEY_USES = ['signing', 'refresh'] as const
export type KeyUse = (typeof KEY_USES)[number]

/** The rings of a KEYS_DIR, by their folders: one of each signing algorithm, and that of refresh-token secrets. */
export const RING_NAMES = ['signing', 'signing-es256', 'signing-eddsa', 'refresh'] as const
export type RingName = (typeof RING_NAMES)[number]

const ALGS = {
  signing: 'RS256',
  'signing-es256': 'ES256',
  'signing-eddsa': 'EdDSA',
} as const satisfies Record<Exclude<RingName, 'refresh'>, SigningAlg>

/** The algorithm of a refresh token's MAC, as RFC 7518 section 3.2 calls it. */
const MAC_ALG = 'HS256'

export const useOfRing = (ring: RingName): KeyUse => (ring === 'refresh' ? 'refresh' : 'signing')

export const algOfRing = (ring: RingName): SigningAlg | typeof MAC_ALG =>
  ring === 'refresh' ? MAC_ALG : ALGS[ring]

/** The ring whose keys sign with this algorithm. */
export function signingRingOf(alg: SigningAlg): RingName {
  return SIGNING_RINGS.find((ring) => ALGS[ring] === alg)!
}

const SIGNING_RINGS = Object.keys(ALGS) as (keyof typeof ALGS)[]

/** Those of the rings that there are. */
export async function ringsIn(folder: string): Promise<RingName[]> {
  const there: RingName[] = []
  for (const ring of RING_NAMES) if (await exists(join(folder, ring))) there.push(ring)
  return there
}
