/*
 * The rule once more, written from the documents alone (docs/rotation.md, docs/audit-events.md, docs/conformance.md) and
 * without a look at src: what a server must answer, and what its store must then hold. Times are whole seconds since a
 * history began, and move only when a history says so.
 */

export const GRACE_S = 1000
export const IDLE_S = 10_000
export const MAX_S = 16_000
export const SCOPES = ['read', 'write'] as const
export const AUDIENCES = ['https://one.example', 'https://two.example'] as const
export const GRANTS = ['password', 'refresh_token'] as const

export type Policy = 'grace' | 'strict' | 'observe'

/** What a client may, which can be taken from it and given back. */
export interface Registration {
  readonly grants: readonly (typeof GRANTS)[number][]
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
}

/** What every client has at the beginning. */
export const WHOLE: Registration = { grants: GRANTS, scopes: SCOPES, audiences: AUDIENCES }

export interface ModelClient {
  readonly policy: Policy
  readonly isConfidential: boolean
  epoch: number
  disabled: boolean
  registration: Registration
}

export interface ModelUser {
  password: number
  /** Verified by the webhook until there is a password here. */
  livesElsewhere: boolean
  disabled: boolean
  deleted: boolean
  epoch: number
}

/** What the store holds of a family. */
export interface Held {
  readonly generation: number
  readonly rotatedAt: number
  readonly idleEnd: number
  readonly revoked: string | undefined
  readonly replays: number
  /** Where the last rotation came from. */
  readonly sender: number
  /** The last generation that another sender repeated, and how many in a row that makes. */
  readonly repeated: number
  readonly run: number
}

/** What tokens are good for, and for whom. */
export interface Granted {
  readonly scope: readonly string[]
  readonly audience: readonly string[]
}

export interface ModelFamily extends Granted {
  readonly client: number
  readonly userEpoch: number
  readonly clientEpoch: number
  readonly end: number
  held: Held
  /** What the store held after each write since the last one that may not be lost; the last is the present. */
  writes: Held[]
}

export interface Model {
  now: number
  readonly clients: ModelClient[]
  readonly user: ModelUser
  readonly families: ModelFamily[]
}

/** What each history has of its own from its beginning. */
export interface Beginning {
  readonly policies: readonly Policy[]
  readonly confidential: readonly boolean[]
  readonly livesElsewhere: boolean
}

export function newModel({ policies, confidential, livesElsewhere }: Beginning): Model {
  return {
    now: 0,
    clients: policies.map((policy, i) => ({
      policy,
      isConfidential: confidential[i]!,
      epoch: 0,
      disabled: false,
      registration: WHOLE,
    })),
    user: { password: 0, livesElsewhere, disabled: false, deleted: false, epoch: 0 },
    families: [],
  }
}

/** Whether the store still has the record. */
export function isThere(model: Model, family: ModelFamily): boolean {
  return model.now < family.held.idleEnd && model.now < family.end
}

/** Why the session is over, in the word that the log has for it. */
export function overBy(model: Model, family: ModelFamily): string | undefined {
  if (!isThere(model, family)) return 'gone'
  if (family.held.revoked !== undefined) return 'revoked'
  if (model.user.deleted || family.userEpoch !== model.user.epoch) return 'user_ended'
  if (family.clientEpoch !== model.clients[family.client]!.epoch) return 'client_ended'
  return undefined
}

/** What is left of a grant where its client has lost some of it since. */
export function leftOf(model: Model, { client, scope, audience }: ModelFamily): Granted {
  const { registration } = model.clients[client]!
  return {
    scope: scope.filter((one) => registration.scopes.includes(one)),
    audience: audience.filter((one) => registration.audiences.includes(one)),
  }
}

/** A rotation or a repeat, which the store may lose. */
export function write(family: ModelFamily, held: Held): void {
  family.held = held
  family.writes.push(held)
}

/** Durable before it is answered: no loss goes back behind it. */
export function end(family: ModelFamily, reason: string): void {
  family.held = { ...family.held, revoked: reason }
  family.writes = [family.held]
}

/** The store loses the last `writes` rotations and repeats. */
export function rollBack(family: ModelFamily, writes: number): void {
  family.writes = family.writes.slice(0, -writes)
  family.held = family.writes.at(-1)!
}
