import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RingName } from '../../src/keys/rings.ts'
import { JWKS_MAX_AGE, SETTLING } from '../../src/tokens/key-ring.ts'

export type Use = RingName

/** Seconds after which everybody knows what was published. */
export const SPREAD = JWKS_MAX_AGE + SETTLING

/** Where a server publishes its keys. */
export const jwksOf = ({ url }: { readonly url: string }): string => `${url}/.well-known/jwks.json`

export interface WrittenKey {
  readonly id: string
  readonly state: string
  readonly published: string
  readonly since: string
  readonly life: number
}

/** The path of the ring file that counts. */
export function ringFileOf(keysDir: string, use: Use): string {
  return join(keysDir, use, `ring.${revisionOf(keysDir, use)}.json`)
}

/** What the ring file says. */
export function writtenRing(keysDir: string, use: Use): WrittenKey[] {
  return JSON.parse(readFileSync(ringFileOf(keysDir, use), 'utf8')).keys
}

/** The ids of the keys in a state. */
export function idsIn(keysDir: string, use: Use, state: string): string[] {
  return writtenRing(keysDir, use)
    .filter((key) => key.state === state)
    .map(({ id }) => id)
}

/** Lets time pass for a ring: what it says has happened, happened so much earlier. */
export function passTime(keysDir: string, use: Use, seconds: number): void {
  const earlier = (time: string) => new Date(Date.parse(time) - 1000 * seconds).toISOString()
  const keys = writtenRing(keysDir, use).map((key) => ({
    ...key,
    published: earlier(key.published),
    since: earlier(key.since),
  }))
  const path = join(keysDir, use, `ring.${revisionOf(keysDir, use) + 1}.json`)
  writeFileSync(`${path}.new`, JSON.stringify({ keys }), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

function revisionOf(keysDir: string, use: Use): number {
  const numbers = readdirSync(join(keysDir, use)).map((name) =>
    Number(/^ring\.(\d+)\.json$/.exec(name)?.[1] ?? 0),
  )
  return Math.max(...numbers)
}
