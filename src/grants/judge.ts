import type { Client } from '../accounts/client.ts'
import { isWithin } from '../oauth/scope.ts'
import type { FamilyView } from '../stores/contract.ts'
import { type Decision, decide } from '../tokens/decision.ts'
import type { Family, Sender } from '../tokens/family.ts'
import type { TokenSettings } from './grant.ts'

/** A refresh token that is being judged: by whom it was presented, and what for. */
export interface Presented {
  readonly client: Client
  readonly generation: number
  readonly scope?: readonly string[] | undefined
  readonly sender: Sender
}

/**
 * What `decide` says of a presented token, by the client's settings or the server's.
 *
 * @param view what the store holds; where a scope is asked for, without what was withdrawn from the client.
 */
export function judge(
  settings: TokenSettings,
  { client, generation, scope, sender }: Presented,
  view: FamilyView,
): Decision {
  return decide({
    presented: generation,
    family: view.family,
    userEpoch: view.user?.epoch,
    client,
    scope,
    sender,
    now: view.now,
    graceMs: 1000 * (client.refreshTokenGrace ?? settings.refreshTokenGrace),
    onReuse: client.onReuse,
  })
}

/** The family as far as its client still has what was granted (RFC 6749 section 6: never more than that). */
export function withoutWithdrawn(client: Client, family: Family): Family {
  if (client.withdrawnAudiences.length === 0 && isWithin(family.scope, client.scopes)) return family
  return {
    ...family,
    scope: family.scope.filter((token) => client.scopes.includes(token)),
    // Not those that the client has: a session of before it had any of its own is for the server's default.
    audience: family.audience.filter((one) => !client.withdrawnAudiences.includes(one)),
  }
}

/** Whether the family that was looked at is alive, and this client's: its current token would be taken. */
export function isLive(settings: TokenSettings, client: Client | undefined, view: FamilyView): boolean {
  const { family } = view
  if (!client || client.disabled || !family) return false
  const current = { client, generation: family.generation, sender: family.lastSender }
  return judge(settings, current, view).kind === 'rotate'
}
