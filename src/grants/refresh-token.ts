import type { AuditEvent } from '../audit/event.ts'
import { OAuthError, UnavailableError } from '../oauth/errors.ts'
import type { Advance, AdvanceRequest, FamilyStore } from '../stores/contract.ts'
import type { Decision } from '../tokens/decision.ts'
import { familyIdOf } from '../tokens/refresh-token.ts'
import type { Grant, Granted } from './grant.ts'
import { judge, withoutWithdrawn } from './judge.ts'
import { readPresentedRefreshToken } from './read-refresh-token.ts'

/** Each further attempt means that another request moved the family in between; that ends after one or two. */
const MAX_ATTEMPTS = 8

const refused = (detail: string) =>
  new OAuthError(
    'invalid_grant',
    'The refresh token is not valid for this client, has ended or was revoked',
    detail,
  )

/**
 * The refresh token grant (RFC 6749 section 6) with rotation (RFC 9700 section 4.14.2).
 *
 * What happens is decided by the pure `decide`; here its decisions are carried out. The usual one, `rotate`, is
 * attempted before it is made: the compare-and-set moves the family only where `decide` would say `rotate`, so that the
 * happy path is one round trip. Only what the store does not judge is looked at first: a `scope`, and a client that has
 * lost audiences, of which one must be left.
 */
export const refreshTokenGrant: Grant = async (services, { client, form, scope, sender, notes }) => {
  const { store, settings, audit } = services
  const text = form.values.get('refresh_token')
  if (text === undefined) throw new OAuthError('invalid_request', 'The refresh_token is missing')
  const token = await readPresentedRefreshToken(services, text)
  if (!token) throw refused('not a refresh token of this server')

  const { handle, generation: presented } = token
  const id = familyIdOf(handle)
  notes.sid = id
  const turn = (from: number, to: number): AdvanceRequest => ({
    id,
    from,
    to,
    clientId: client.clientId,
    clientEpoch: client.epoch,
    sender,
    idleMs: 1000 * (client.refreshTokenIdleTtl ?? settings.refreshTokenIdleTtl),
  })
  const presentation = { client, generation: presented, scope, sender }
  const first: Attempt =
    scope === undefined && client.withdrawnAudiences.length === 0
      ? await advanceAhead(store.families, turn(presented, presented + 1))
      : { seen: { ...(await store.families.look(id)), applied: false }, kept: undefined }
  let { seen } = first

  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const { user, now } = seen
    const family = seen.family && withoutWithdrawn(client, seen.family)
    const decision = judge(settings, presentation, { now, user, family })
    notes.decision = decision.kind
    if (REPLAYS.has(decision.kind)) notes.replay_age_ms = now - family!.rotatedAt
    const report = (event: AuditEvent['event'], reason?: string) =>
      audit({
        event,
        client_id: client.clientId,
        sid: id,
        presented,
        ...(user && { sub: user.sub }),
        ...(family && { current: family.generation }),
        ...(reason !== undefined && { reason }),
        ...sender,
      })
    const granted = (generation: number, issuedAt: number): Granted => ({
      sub: user!.sub,
      scope: scope ?? family!.scope,
      audience: family!.audience,
      claims: user!.claims,
      issuedAt,
      now,
      session: { sid: id, generation, signedInAt: family!.createdAt, endsAt: family!.endsAt, handle },
      kept: first.kept,
    })
    const requireAudience = () => {
      if (family!.audience.length === 0) throw refused('no audience of the grant is left')
    }

    switch (decision.kind) {
      case 'rotate':
      case 'heal':
        requireAudience()
        if (seen.applied) {
          if (decision.kind === 'heal') report('refresh.healed')
          return granted(decision.to, now)
        }
        seen = await store.families.advance(turn(decision.from, decision.to))
        continue
      case 'repeat':
        requireAudience()
        await store.families.noteReplay(id, decision.lockstep)
        report('refresh.replayed')
        if (decision.lockstep.run > Math.max(1, family!.lockstep.run)) report('refresh.lockstep')
        return granted(decision.generation, family!.rotatedAt)
      case 'reuse_observed':
        requireAudience()
        report('refresh.reuse_observed')
        return granted(decision.generation, family!.rotatedAt)
      case 'reuse':
        if ((await revokeReused(store.families, id, report)) === 'revoked') report('refresh.reuse')
        throw refused('reuse of an older refresh token')
      case 'revoked':
        report('refresh.after_revocation', decision.reason)
        throw refused('the session was revoked')
      case 'too_far_ahead':
        report('refresh.too_far_ahead')
        throw refused('a generation that the store is too far behind of')
      case 'scope_exceeded':
        throw new OAuthError('invalid_scope', 'The scope is beyond what was granted')
      default:
        throw refused(REFUSALS[decision.kind])
    }
  }
  throw new UnavailableError('The session is moved by too many requests at once')
}

interface Attempt {
  readonly seen: Advance
  readonly kept: Promise<unknown> | undefined
}

/**
 * Goes on as soon as the family has moved, so that the token can be signed while the store keeps the move. Where it has not
 * moved it waits: nobody is refused for something that is then not kept.
 */
function advanceAhead(families: FamilyStore, request: AdvanceRequest): Promise<Attempt> {
  return new Promise((resolve, reject) => {
    const kept = families.advance(request, (seen) => {
      if (seen.applied) resolve({ seen, kept })
    })
    kept.then((seen) => resolve({ seen, kept: undefined }), reject)
  })
}

/**
 * Where nobody knows whether the end was written, the reuse is told all the same: it was one in any case, and if it was
 * written, whoever comes next meets an ended session, and nothing that looks like a theft.
 */
async function revokeReused(
  families: FamilyStore,
  id: string,
  report: (event: AuditEvent['event'], reason: string) => void,
) {
  try {
    return await families.revoke(id, 'reuse')
  } catch (error) {
    report('refresh.reuse', 'the end of the session is not confirmed')
    throw error
  }
}

/** The cases of an older token. */
const REPLAYS: ReadonlySet<Decision['kind']> = new Set(['repeat', 'reuse', 'reuse_observed'])

const REFUSALS = {
  gone: 'the session has ended',
  other_client: 'the session of another client',
  user_ended: 'the user was disabled, deleted, signed out or given a new password',
  client_ended: 'every session of the client was ended',
} satisfies Partial<Record<Decision['kind'], string>>
