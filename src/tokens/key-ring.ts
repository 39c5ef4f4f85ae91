/*
 * The law of a key ring, whatever its keys are for: when a key may be used, and when nobody needs it any more. Times are
 * milliseconds since 1970, durations are seconds. The story is in docs/keys.md.
 */

/**
 * `next`: published, or verifying, and not used yet. `active`: what new tokens are made with; always exactly one.
 * `retiring`: no longer used, and its tokens still pass. `retired`: out of the ring; nothing made with it passes.
 */
export type KeyState = 'next' | 'active' | 'retiring' | 'retired'

/** What the ring knows of one key. Not the key. */
export interface RingKey {
  readonly id: string
  readonly state: KeyState
  /** When it came into the ring. */
  readonly published: number
  /** When it came into its state; of an active key, when it begins to be used, or began. */
  readonly since: number
  /** The longest that any token made with it is good for, in seconds. Never shrinks. */
  readonly life: number
}

export type Ring = readonly RingKey[]

/** What the law goes by. */
export interface RingSettings {
  /** How long until everybody knows a key that came into the ring, in seconds. */
  readonly spread: number
  /** The longest that a token made now is good for, in seconds. */
  readonly life: number
  /** How long a key is active before the next one follows, in seconds; at least as long as `spread`. */
  readonly interval: number
}

/** What there is to do now; or what comes next, and when. */
export type Step =
  | { readonly kind: 'generate' }
  | { readonly kind: 'promote' | 'retire'; readonly id: string }
  | { readonly kind: 'wait'; readonly for: 'promote' | 'retire'; readonly id: string; readonly until: number }

/** Seconds for which a verifier may go by a JWKS that it has fetched: its `max-age`. */
export const JWKS_MAX_AGE = 600

/**
 * Seconds after which every server of a KEYS_DIR has seen what changed there: a look each second, up to a minute for
 * which network file systems cache a folder, and what their clocks differ by.
 */
export const SETTLING = 120

/** The longest that an access token may be configured to live, in seconds. */
const MAX_ACCESS_TOKEN_TTL = 86_400

/** What verifiers add to the life of a token for clocks that differ, in seconds; five minutes is the most that is usual. */
const LEEWAY = 300

/** The longest that a session may be configured to live without a refresh, in seconds: ten years. */
const MAX_REFRESH_TOKEN_IDLE_TTL = 3660 * 86_400

/** The longest that a token of each kind can be good for, in seconds: for keys of which nothing else is known. */
export const LONGEST_LIFE = {
  signing: MAX_ACCESS_TOKEN_TTL + LEEWAY,
  refresh: MAX_REFRESH_TOKEN_IDLE_TTL,
} as const

/** Retired keys that are remembered at least, so that a copy of their file does not come back as a new key. */
const REMEMBERED = 100

/** The settings of signing keys. They do not ask how long access tokens live here: none may live longer. */
export function signingRingSettings(interval: number): RingSettings {
  return { spread: JWKS_MAX_AGE + SETTLING, life: LONGEST_LIFE.signing, interval }
}

/**
 * The settings of refresh-token secrets.
 *
 * @param longestIdle the longest REFRESH_TOKEN_IDLE_TTL of the server and its clients, in seconds: a session that is
 *   used before that gets a token under the active secret.
 */
export function refreshRingSettings(interval: number, longestIdle: number): RingSettings {
  return { spread: SETTLING, life: longestIdle, interval }
}

/** When a key may become the active one: everybody knows it then. */
export function promotableAt(key: RingKey, { spread }: RingSettings): number {
  return key.published + 1000 * spread
}

/** When nothing that was made with a retiring key is good for anything. A server may use it until it sees the change. */
export function retirableAt(key: RingKey): number {
  return key.since + 1000 * (key.life + SETTLING)
}

/** The `next` key that has been known the longest. */
export function nextOf(ring: Ring): RingKey | undefined {
  const inOrder = ring.filter(({ state }) => state === 'next').sort((a, b) => a.published - b.published)
  return inOrder[0]
}

/** @throws {TypeError} for a ring without an active key, which none is. */
export function activeOf(ring: Ring): RingKey {
  const active = ring.find(({ state }) => state === 'active')
  if (!active) throw new TypeError('The ring has no active key')
  return active
}

/**
 * What to do with the ring now. There is always a next key, known to everybody in good time: should the active one leak,
 * another takes over at once.
 */
export function nextStep(ring: Ring, now: number, settings: RingSettings): Step {
  const [oldest] = ring
    .filter(({ state }) => state === 'retiring')
    .sort((a, b) => retirableAt(a) - retirableAt(b))
  if (oldest && retirableAt(oldest) <= now) return { kind: 'retire', id: oldest.id }

  const next = nextOf(ring)
  if (!next) return { kind: 'generate' }
  const due = activeOf(ring).since + 1000 * Math.max(settings.interval, settings.spread)
  const promotion = Math.max(promotableAt(next, settings), due)
  if (promotion <= now) return { kind: 'promote', id: next.id }

  return oldest && retirableAt(oldest) < promotion
    ? { kind: 'wait', for: 'retire', id: oldest.id, until: retirableAt(oldest) }
    : { kind: 'wait', for: 'promote', id: next.id, until: promotion }
}

/**
 * A ring that begins. Its first key is active at once where nobody has heard of any key yet, as on a first start. Where
 * tokens are made with the keys of another ring, it waits until everybody knows it; that is what `from` is for, in
 * milliseconds since 1970.
 */
export function newRing(id: string, now: number, from: number): Ring {
  return [{ id, state: 'active', published: now, since: from, life: 0 }]
}

/**
 * When the active key may be used, in milliseconds since 1970; 0 where another was active before it: to a server whose clock
 * is behind, what was promoted a moment ago has been, too. A key without a life was never active.
 */
export function usableFrom(ring: Ring): number {
  const isFirst = ring.every(({ state, life }) => state === 'active' || life === 0)
  return isFirst ? activeOf(ring).since : 0
}

/** The ring with one more key, which everybody gets to know from now on. */
export function withNext(ring: Ring, id: string, now: number): Ring {
  return [...ring, { id, state: 'next', published: now, since: now, life: 0 }]
}

/** The ring in which this key is active, and the one that was is retiring. */
export function withPromoted(ring: Ring, id: string, now: number, { life }: RingSettings): Ring {
  return ring.map((key) => {
    if (key.id === id) return { ...key, state: 'active', since: now, life: Math.max(key.life, life) }
    if (key.state !== 'active') return key
    return { ...key, state: 'retiring', since: now, life: Math.max(key.life, life) }
  })
}

/** The ring in which these keys count no more. */
export function withRetired(ring: Ring, ids: readonly string[], now: number): Ring {
  return ring.map((key) => (ids.includes(key.id) ? { ...key, state: 'retired', since: now } : key))
}

/**
 * The ring as it is to be written, given the keys that are there.
 *
 * A key that nobody entered is a next one, known from now on. One that is gone is out of the ring: retired, or forgotten
 * if it was never used and is not just being written. The active one must be there; that is for others to see to.
 */
export function reconciled(
  ring: Ring,
  present: readonly string[],
  now: number,
  { life }: Pick<RingSettings, 'life'>,
): Ring {
  const known = ring.flatMap((key): RingKey[] => {
    if (key.state === 'active') return [{ ...key, life: Math.max(key.life, life) }]
    if (key.state === 'retired' || present.includes(key.id)) return [key]
    if (key.state === 'retiring') return [{ ...key, state: 'retired', since: now }]
    return now - key.since < 1000 * SETTLING ? [key] : []
  })
  const newcomers = present.filter((id) => !ring.some((key) => key.id === id))
  const forgotten = known
    .filter(({ id, state }) => state === 'retired' && !present.includes(id))
    .sort((a, b) => b.since - a.since)
    .slice(REMEMBERED)
  return newcomers.reduce<Ring>(
    (ring, id) => withNext(ring, id, now),
    known.filter((key) => !forgotten.includes(key)),
  )
}
