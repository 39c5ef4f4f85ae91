/*
 * The rule once more, written from docs/rotation.md alone and without a look at src: what a server must answer, and
 * what its store must then hold. Times are whole seconds since a history began, and move only when a history says so.
 */

export const GRACE_S = 1000
export const IDLE_S = 10_000
export const MAX_S = 16_000
export const SCOPE = ['read', 'write'] as const

export type Policy = 'grace' | 'strict' | 'observe'

export interface ModelClient {
  readonly policy: Policy
  epoch: number
  disabled: boolean
}

export interface ModelUser {
  password: number
  disabled: boolean
  epoch: number
}

/** What the store holds of a family. */
export interface Held {
  readonly generation: number
  readonly rotatedAt: number
  readonly idleEnd: number
  readonly revoked: string | undefined
  readonly replays: number
}

export interface ModelFamily {
  readonly client: number
  readonly userEpoch: number
  readonly clientEpoch: number
  readonly end: number
  held: Held
  /** What the store held after each write since the last one that may not be lost; the last is the present. */
  writes: Held[]
  /** The highest generation that was ever handed out. */
  highest: number
}

export interface Model {
  now: number
  readonly clients: ModelClient[]
  readonly user: ModelUser
  readonly families: ModelFamily[]
}

/** What is expected of one request; the decision is the one that the log names. */
export interface Expected {
  readonly decision: string | undefined
  readonly error: string | undefined
  /** The generation of the refresh token in the answer. */
  readonly generation: number | undefined
  /** By name, and with the reason where the name does not say it. */
  readonly events: readonly string[]
}

const refusal = (decision: string | undefined, error: string, events: readonly string[] = []): Expected => ({
  decision,
  error,
  generation: undefined,
  events,
})

export function newModel(policies: readonly Policy[]): Model {
  return {
    now: 0,
    clients: policies.map((policy) => ({ policy, epoch: 0, disabled: false })),
    user: { password: 0, disabled: false, epoch: 0 },
    families: [],
  }
}

export function signIn(model: Model, client: number, password: number): Expected {
  const { user, now } = model
  const by = model.clients[client]!
  if (by.disabled) return refusal(undefined, 'invalid_client')
  if (user.password !== password || user.disabled) {
    return refusal(undefined, 'invalid_grant', ['sign_in.failed'])
  }
  const held = { generation: 0, rotatedAt: now, idleEnd: now + IDLE_S, revoked: undefined, replays: 0 }
  model.families.push({
    client,
    userEpoch: user.epoch,
    clientEpoch: by.epoch,
    end: now + MAX_S,
    held,
    writes: [held],
    highest: 0,
  })
  return { decision: undefined, error: undefined, generation: 0, events: ['sign_in.succeeded'] }
}

/** Whether the session is over in a way that makes no difference between its tokens. */
function ended(model: Model, family: ModelFamily, client: number): Expected | undefined {
  const { held } = family
  if (model.now >= held.idleEnd || model.now >= family.end) return refusal('gone', 'invalid_grant')
  if (held.revoked !== undefined) {
    return refusal('revoked', 'invalid_grant', [`refresh.after_revocation ${held.revoked}`])
  }
  if (client !== family.client) return refusal('other_client', 'invalid_grant')
  if (family.userEpoch !== model.user.epoch) return refusal('user_ended', 'invalid_grant')
  if (family.clientEpoch !== model.clients[client]!.epoch) return refusal('client_ended', 'invalid_grant')
  return undefined
}

export function refresh(
  model: Model,
  index: number,
  presented: number,
  client: number,
  scope: string | undefined,
): Expected {
  const family = model.families[index]!
  const { held } = family
  const by = model.clients[client]!
  if (by.disabled) return refusal(undefined, 'invalid_client')
  const over = ended(model, family, client)
  if (over) return over
  if (scope !== undefined && !scope.split(' ').every((token) => SCOPE.some((granted) => granted === token))) {
    return refusal('scope_exceeded', 'invalid_scope')
  }
  const { generation, rotatedAt } = held
  if (presented >= generation) {
    const isHeal = presented > generation
    const next = presented + 1
    const idleEnd = Math.min(model.now + IDLE_S, family.end)
    write(family, { ...held, generation: next, rotatedAt: model.now, idleEnd })
    return {
      decision: isHeal ? 'heal' : 'rotate',
      error: undefined,
      generation: next,
      events: isHeal ? ['refresh.healed'] : [],
    }
  }
  const inGrace = by.policy !== 'strict' && model.now - rotatedAt < GRACE_S
  if (presented === generation - 1 && inGrace) {
    write(family, { ...held, replays: held.replays + 1 })
    return { decision: 'repeat', error: undefined, generation, events: ['refresh.replayed'] }
  }
  if (by.policy === 'observe') {
    return { decision: 'reuse_observed', error: undefined, generation, events: ['refresh.reuse_observed'] }
  }
  end(family, 'reuse')
  return refusal('reuse', 'invalid_grant', ['refresh.reuse'])
}

/** A client revokes a token of this family (RFC 7009): the answer is always 200. @returns the audit events. */
export function revoke(model: Model, index: number, client: number): readonly string[] {
  const family = model.families[index]!
  if (client !== family.client || !isThere(model, family) || family.held.revoked !== undefined) return []
  end(family, 'client')
  return ['session.revoked client']
}

/** The operator ends this session. @returns what the store says. */
export function revokeSession(model: Model, index: number): 'revoked' | 'already_revoked' | 'gone' {
  const family = model.families[index]!
  if (!isThere(model, family)) return 'gone'
  if (family.held.revoked !== undefined) return 'already_revoked'
  end(family, 'operator')
  return 'revoked'
}

export function isThere(model: Model, family: ModelFamily): boolean {
  return model.now < family.held.idleEnd && model.now < family.end
}

/** The store loses the last `writes` rotations and repeats. */
export function rollBack(family: ModelFamily, writes: number): void {
  family.writes = family.writes.slice(0, -writes)
  family.held = family.writes.at(-1)!
}

function write(family: ModelFamily, held: Held): void {
  family.held = held
  family.writes.push(held)
  family.highest = Math.max(family.highest, held.generation)
}

/** Durable before it is answered: no loss goes back behind it. */
function end(family: ModelFamily, reason: string): void {
  family.held = { ...family.held, revoked: reason }
  family.writes = [family.held]
}
