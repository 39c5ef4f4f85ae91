/**
 * A refresh-token family: what one sign-in makes and every refresh with its tokens advances. It is the *session* that
 * `sid` in an access token names. One record of constant size for the family's whole life.
 */
export interface Family {
  /** The user's locator and a one-way hash of the token handle; see `familyIdOf`. Also `sid`. */
  readonly id: string
  /** Number of rotations so far; the current refresh token carries it. */
  readonly generation: number
  /** When the current generation came to be: milliseconds since 1970 by the store's clock. */
  readonly rotatedAt: number
  readonly clientId: string
  /** The scope granted at sign-in. A refresh may narrow its access token, never this. */
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  /** The sign-in, hence also `auth_time`: milliseconds by the store's clock. */
  readonly createdAt: number
  /** The absolute end, which nothing moves: milliseconds by the store's clock. */
  readonly endsAt: number
  /** When the record goes unless a refresh comes first, at the latest `endsAt`: milliseconds by the store's clock. */
  readonly expiresAt: number
  /** The user's epoch at sign-in; a user whose epoch has moved on has ended every session before it. */
  readonly userEpoch: number
  /** The client's epoch at sign-in, likewise. */
  readonly clientEpoch: number
  /** It cannot be refreshed, hence is over with its access token, and not counted among the user's sessions. */
  readonly isBrief?: boolean
  /** Set when the family was ended before its time. The record stays as a tombstone until `expiresAt`. */
  readonly revoked?: { readonly reason: RevocationReason; readonly at: number }
  /** Where the last rotation came from. */
  readonly lastSender: Sender
  /** Repeats that were answered with the same successor. */
  readonly replays: number
  /** The last generation that another sender repeated, and how many generations in a row that has happened. */
  readonly lockstep: Lockstep
}

/** Why a family was ended before its time. */
export const REVOCATION_REASONS = ['reuse', 'operator', 'client', 'cap'] as const
export type RevocationReason = (typeof REVOCATION_REASONS)[number]

/** A request's origin, coarse on purpose: enough to tell two devices apart, too little to follow a person. */
export interface Sender {
  /** The IPv4 /24 or IPv6 /48 network, e.g. `192.0.2.0/24`; empty when unknown. */
  readonly network: string
  /** The start of the `User-Agent`, printable ASCII, at most 32 characters; empty when unknown. */
  readonly agent: string
}

export interface Lockstep {
  readonly generation: number
  readonly run: number
}

export const NO_LOCKSTEP: Lockstep = { generation: 0, run: 0 }
