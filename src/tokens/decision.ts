import { isWithin } from '../oauth/scope.ts'
import type { Family, Lockstep, RevocationReason, Sender } from './family.ts'

/** How far ahead of the record an authentic token may be and still be explained by a store that lost writes. */
export const HEAL_BOUND = 1000

/** What is known when a refresh token that is authentic has been presented. */
export interface Presentation {
  /** The generation in the token. */
  readonly presented: number
  /** The record as the store holds it, or held it before this very request moved it; `undefined` when it is gone. */
  readonly family: Family | undefined
  /** The user's epoch now; `undefined` when there is no such user any more. */
  readonly userEpoch: number | undefined
  readonly client: { readonly clientId: string; readonly epoch: number }
  /** The `scope` parameter, where there is one. */
  readonly scope: readonly string[] | undefined
  readonly sender: Sender
  /** Milliseconds by the store's clock. */
  readonly now: number
  readonly graceMs: number
  readonly onReuse: 'enforce' | 'observe'
}

/** What to do about a presented refresh token. */
export type Decision =
  | { readonly kind: 'gone' }
  | { readonly kind: 'revoked'; readonly reason: RevocationReason }
  | { readonly kind: 'other_client' }
  | { readonly kind: 'user_ended' }
  | { readonly kind: 'client_ended' }
  | { readonly kind: 'scope_exceeded' }
  | { readonly kind: 'rotate'; readonly from: number; readonly to: number }
  | { readonly kind: 'repeat'; readonly generation: number; readonly lockstep: Lockstep }
  | { readonly kind: 'reuse' }
  | { readonly kind: 'reuse_observed'; readonly generation: number }
  | { readonly kind: 'heal'; readonly from: number; readonly to: number }
  | { readonly kind: 'too_far_ahead' }

/**
 * The rule this project exists for, as one pure function (RFC 9700 section 4.14.2, made kind to honest clients).
 *
 * Its table is in docs/rotation.md, row by row in this order. The stores hold no second copy of it: their
 * compare-and-set moves a family exactly when this says `rotate`, which a test holds against both.
 */
export function decide(p: Presentation): Decision {
  const { family, presented } = p
  if (!family || p.now >= family.expiresAt || p.now >= family.endsAt) return { kind: 'gone' }
  if (family.revoked) return { kind: 'revoked', reason: family.revoked.reason }
  if (family.clientId !== p.client.clientId) return { kind: 'other_client' }
  if (p.userEpoch !== family.userEpoch) return { kind: 'user_ended' }
  if (p.client.epoch !== family.clientEpoch) return { kind: 'client_ended' }
  if (p.scope && !isWithin(p.scope, family.scope)) return { kind: 'scope_exceeded' }

  const current = family.generation
  if (presented === current) return { kind: 'rotate', from: current, to: current + 1 }
  if (presented > current) {
    // The token is authentic, so this server did hand it out: it is the store that fell behind.
    if (presented - current > HEAL_BOUND) return { kind: 'too_far_ahead' }
    return { kind: 'heal', from: current, to: presented + 1 }
  }
  // Anchored at the rotation itself, so that no repeat prolongs the grace.
  if (presented === current - 1 && p.now - family.rotatedAt < p.graceMs) {
    return { kind: 'repeat', generation: current, lockstep: lockstepAfter(family, p.sender) }
  }
  return p.onReuse === 'observe' ? { kind: 'reuse_observed', generation: current } : { kind: 'reuse' }
}

/**
 * A thief who repeats every rotation within the grace is never caught by reuse. He shows, though: rotation after
 * rotation is repeated by another sender than the one who made it.
 */
function lockstepAfter(family: Family, sender: Sender): Lockstep {
  const { lastSender, lockstep, generation } = family
  if (sender.network === lastSender.network && sender.agent === lastSender.agent) return lockstep
  if (lockstep.generation === generation) return lockstep
  return { generation, run: lockstep.generation === generation - 1 ? lockstep.run + 1 : 1 }
}
