import { createHmac, hkdfSync } from 'node:crypto'
import type { RefreshSecretRing } from '../tokens/refresh-token.ts'
import { usernameKey } from './user.ts'

/** For how long, and for how many networks of a user, a good sign-in is remembered. */
export const MEMORY = { networks: 16, ms: 90 * 86_400_000 }

const DIGEST_BYTES = 15

/**
 * What the store remembers of a network from which this user signed in well: a keyed digest, because without a key the
 * few networks that there are could be tried one by one. The key comes of the ring's secrets, which are never in the
 * store; so a network is forgotten when the secret that it was noted under is retired and nobody came from it since.
 *
 * @returns the digest to note, and those to look for: one for each secret of the ring.
 */
export function networkDigests(
  ring: RefreshSecretRing,
  username: string,
  prefix: string,
): { readonly active: string; readonly all: readonly string[] } {
  const digests = new Map(
    [...ring.macKeys].map(([id, macKey]) => [id, digestOf(macKey, `${usernameKey(username)} ${prefix}`)]),
  )
  const active = digests.get(ring.activeId)
  if (active === undefined) throw new TypeError('The ring does not hold its active secret')
  return { active, all: [...digests.values()] }
}

function digestOf(macKey: Buffer, text: string): string {
  const key = Buffer.from(hkdfSync('sha256', macKey, '', 'pawl known network v1', 32))
  return createHmac('sha256', key).update(text).digest().toString('base64url', 0, DIGEST_BYTES)
}
