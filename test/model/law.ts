import {
  end,
  GRACE_S,
  type Granted,
  type Held,
  IDLE_S,
  isThere,
  leftOf,
  MAX_S,
  type Model,
  overBy,
  write,
} from './model.ts'

/** What is expected of one request. */
export interface Expected {
  /** The one that the log names. */
  readonly decision?: string
  readonly error?: string
  /** What the tokens in the answer are of; without it there is no refresh token in it. */
  readonly tokens?: Granted & { readonly generation: number }
  /** The audit events: by name, and with the reason where there are several. */
  readonly events?: readonly string[]
}

/** A refresh, as it is asked for. */
export interface Asked {
  readonly presented: number
  readonly client: number
  readonly sender: number
  readonly scope?: string | undefined
}

export function signIn(
  model: Model,
  { client, password, sender }: { client: number; password: number; sender: number },
): Expected {
  const { user, now } = model
  const by = model.clients[client]!
  const { grants, scopes: scope, audiences: audience } = by.registration
  if (by.disabled) return { error: 'invalid_client' }
  if (!grants.includes('password')) return { error: 'unauthorized_client' }
  const fault = signInFault(model, password)
  if (fault) return { error: 'invalid_grant', events: [`sign_in.failed ${fault}`] }
  const events = ['sign_in.succeeded']
  // Such a session is over with its access token, and nothing of it can be refreshed.
  if (!grants.includes('refresh_token')) return { events }
  const held: Held = {
    generation: 0,
    rotatedAt: now,
    idleEnd: now + IDLE_S,
    revoked: undefined,
    replays: 0,
    sender,
    repeated: 0,
    run: 0,
  }
  model.families.push({
    client,
    userEpoch: user.epoch,
    clientEpoch: by.epoch,
    scope,
    audience,
    end: now + MAX_S,
    held,
    writes: [held],
  })
  return { tokens: { generation: 0, scope, audience }, events }
}

function signInFault({ user }: Model, password: number): string | undefined {
  if (user.deleted) return 'the verify webhook says unknown'
  if (user.password !== password) {
    return user.livesElsewhere ? 'the verify webhook says denied' : 'wrong password'
  }
  return user.disabled ? 'the user is disabled' : undefined
}

/** The table of docs/rotation.md, and what it says around it. */
export function refresh(model: Model, index: number, { presented, client, sender, scope }: Asked): Expected {
  const family = model.families[index]!
  const { held } = family
  const by = model.clients[client]!
  if (by.disabled) return { error: 'invalid_client' }
  if (!by.registration.grants.includes('refresh_token')) return { error: 'unauthorized_client' }
  const refused = (decision: string, events: readonly string[] = []): Expected => ({
    decision,
    error: 'invalid_grant',
    events,
  })

  const over = overBy(model, family)
  if (over === 'gone') return refused('gone')
  if (over === 'revoked') return refused('revoked', [`refresh.after_revocation ${held.revoked}`])
  if (client !== family.client) return refused('other_client')
  if (over !== undefined) return refused(over)
  const left = leftOf(model, family)
  const asked = scope?.split(' ') ?? left.scope
  if (!asked.every((token) => left.scope.includes(token))) {
    return { decision: 'scope_exceeded', error: 'invalid_scope' }
  }

  const { generation, rotatedAt } = held
  const answered = (decision: string, generation: number, events: readonly string[] = []): Expected => ({
    decision,
    tokens: { generation, scope: asked, audience: left.audience },
    events,
  })
  const isNobodys = left.audience.length === 0
  if (presented >= generation) {
    const isHeal = presented > generation
    const decision = isHeal ? 'heal' : 'rotate'
    if (isNobodys) return refused(decision)
    const next = presented + 1
    const idleEnd = Math.min(model.now + IDLE_S, family.end)
    write(family, { ...held, generation: next, rotatedAt: model.now, idleEnd, sender })
    return answered(decision, next, isHeal ? ['refresh.healed'] : [])
  }
  const inGrace = by.policy !== 'strict' && model.now - rotatedAt < GRACE_S
  if (presented === generation - 1 && inGrace) {
    if (isNobodys) return refused('repeat')
    const after = repeatedBy(sender, held)
    write(family, after)
    const isLockstep = after.repeated !== held.repeated && after.run > 1
    return answered('repeat', generation, ['refresh.replayed', ...(isLockstep ? ['refresh.lockstep'] : [])])
  }
  if (by.policy === 'observe') {
    if (isNobodys) return refused('reuse_observed')
    return answered('reuse_observed', generation, ['refresh.reuse_observed'])
  }
  end(family, 'reuse')
  return refused('reuse', ['refresh.reuse'])
}

/** Each generation counts once, however often another sender repeats it. */
function repeatedBy(sender: number, held: Held): Held {
  const { generation, repeated, run } = held
  const counted = { ...held, replays: held.replays + 1 }
  if (sender === held.sender || repeated === generation) return counted
  return { ...counted, repeated: generation, run: repeated === generation - 1 ? run + 1 : 1 }
}

/**
 * A client revokes a token of this family, of either kind (RFC 7009). The answer is 200 to every client that there is.
 */
export function revoke(model: Model, index: number, client: number): Expected {
  const family = model.families[index]!
  if (model.clients[client]!.disabled) return { error: 'invalid_client' }
  if (client !== family.client || !isThere(model, family) || family.held.revoked !== undefined) return {}
  end(family, 'client')
  return { events: ['session.revoked client'] }
}

/** The operator ends this session. @returns what the store says. */
export function revokeSession(model: Model, index: number): 'revoked' | 'already_revoked' | 'gone' {
  const family = model.families[index]!
  if (!isThere(model, family)) return 'gone'
  if (family.held.revoked !== undefined) return 'already_revoked'
  end(family, 'operator')
  return 'revoked'
}

/** Who asks about a token: one of the clients, or a resource server that each access token is for. */
export type Caller = number | 'resource server'

/** What of a family's tokens is asked about: the access token, or the refresh token of a generation. */
export type Subject = 'access token' | number

/** What the caller is told of a token (RFC 7662), or why it is told nothing. */
export function introspect(
  model: Model,
  index: number,
  subject: Subject,
  caller: Caller,
): { readonly error: string } | { readonly active: boolean; readonly left?: Granted } {
  const family = model.families[index]!
  const owner = model.clients[family.client]!
  if (caller !== 'resource server') {
    const { disabled, isConfidential } = model.clients[caller]!
    if (disabled || !isConfidential) return { error: 'invalid_client' }
  }
  const isOwn = caller === family.client
  if (subject === 'access token') {
    const isVisible = isOwn || caller === 'resource server'
    return { active: isVisible && !owner.disabled && overBy(model, family) === undefined }
  }
  // A refresh token is its client's alone, and active where its client would get tokens for it now.
  if (!isOwn) return { active: false }
  const asked = { presented: subject, client: family.client, sender: family.held.sender }
  const { tokens } = refresh(structuredClone(model), index, asked)
  return tokens ? { active: true, left: leftOf(model, family) } : { active: false }
}
