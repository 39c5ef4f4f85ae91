import { strictEqual } from 'node:assert/strict'
import type fc from 'fast-check'
import { type Answer, claimsOf } from '../support/http-client.ts'
import type { Snapshot } from '../support/time-machine.ts'
import type { Asked, Expected } from './law.ts'
import * as law from './law.ts'
import { isThere, type Model } from './model.ts'
import type { Population, World } from './world.ts'

/** What the real side of a history knows: what the clients were given, and what to expect in the log. */
export interface Real {
  readonly world: World
  readonly population: Population
  /** For each family its id, its tokens by generation, and its record after each write. */
  readonly families: RealFamily[]
  /** What is to be in the log, in the words of log.ts. */
  readonly events: string[]
  readonly requests: string[]
  userEpoch: number
}

export interface RealFamily {
  readonly sid: string
  readonly tokens: Map<number, string>
  accessToken: string
  writes: { snapshot: Snapshot; at: number }[]
}

export type Step = fc.AsyncCommand<Model, Real>

/** The token of a family at a generation relative to the store's, where its holder has it. */
export function tokenOf(
  model: Model,
  real: Real,
  family: number,
  which: number,
): { presented: number; token: string } | undefined {
  const presented = (model.families[family]?.held.generation ?? 0) + which
  const token = real.families[family]?.tokens.get(presented)
  return token === undefined ? undefined : { presented, token }
}

/** Asks for a refresh, and holds the answer and the record against the law. */
export async function ask(
  model: Model,
  real: Real,
  family: number,
  asked: Asked & { readonly token: string; readonly server: number },
): Promise<void> {
  const expected = law.refresh(model, family, asked)
  const { token: refresh_token, scope } = asked
  const answer = await real.population.post(asked, '/token', {
    grant_type: 'refresh_token',
    refresh_token,
    scope,
  })
  holdTokenAnswer(real, family, answer, expected)
  await holdRecord(model, real, family)
}

/** Holds the answer to a refresh against the law. */
export function holdTokenAnswer(real: Real, family: number, answer: Answer, expected: Expected): void {
  expectInLog(real, 'refresh_token', expected)
  holdStatus(answer, expected)
  holdTokens(real.families[family]!, answer, expected)
}

/** Each event is a line in the log, and so is each request; of one that is not authenticated it does not say whose. */
export function expectInLog(
  real: Real,
  grantType: string,
  { decision = grantType, error, events = [] }: Expected,
): void {
  real.events.push(...events)
  if (error !== 'invalid_client') real.requests.push(`${decision} ${error ?? 'ok'}`)
}

export function holdStatus(answer: Answer, { error }: { readonly error?: string }): void {
  const status = error === undefined ? 200 : error === 'invalid_client' ? 401 : 400
  strictEqual(`${answer.status} ${answer.json?.error}`, `${status} ${error}`)
}

/** One live lineage: whoever is handed a generation is handed the same token. And the scope never grows. */
export function holdTokens(known: RealFamily, answer: Answer, { tokens }: Expected): void {
  const { access_token, refresh_token, scope } = answer.json as Record<string, string | undefined>
  if (!tokens) {
    strictEqual(refresh_token, undefined, 'no refresh token is handed out')
    return
  }
  const { generation } = tokens
  const before = known.tokens.get(generation) ?? refresh_token
  strictEqual(refresh_token, before, `generation ${generation} has one token`)
  known.tokens.set(generation, refresh_token!)
  known.accessToken = access_token!
  const claims = claimsOf(access_token!)
  strictEqual(claims.sid, known.sid)
  strictEqual(scope, tokens.scope.join(' '))
  strictEqual(claims.scope, scope)
  strictEqual([claims.aud].flat().join(' '), tokens.audience.join(' '))
}

/** The record is what the law says, and its absolute end has not moved. Remembers it where it was written. */
export async function holdRecord(model: Model, real: Real, index: number): Promise<void> {
  const { machine } = real.world
  const known = real.families[index]!
  const family = model.families[index]!
  const { held } = family
  const { family: record, now } = await machine.store.families.look(known.sid)
  if (!isThere(model, family)) {
    strictEqual(record, undefined, 'the record is gone')
    return
  }
  strictEqual(record?.generation, held.generation, 'generation')
  strictEqual(record?.revoked?.reason, held.revoked, 'revoked')
  strictEqual(record?.replays, held.replays, 'replays')
  strictEqual(record?.lockstep.run, held.run, 'generations in a row that another sender repeated')
  strictEqual(record?.scope.join(' '), family.scope.join(' '), 'the grant')
  // The model's clock stands still while a history runs.
  holdTime('the absolute end', record.endsAt - now, family.end - model.now)
  holdTime('the idle end', record.expiresAt - now, held.idleEnd - model.now)
  if (family.writes.length < known.writes.length) known.writes = []
  const fresh = family.writes.length - known.writes.length
  if (fresh === 0) return
  // Of two writes at once nobody saw what was between them.
  family.writes.splice(known.writes.length, fresh - 1)
  known.writes.push({ snapshot: await machine.take(known.sid), at: model.now })
}

/** How long a history can take in real time. */
const HISTORY_S = 90

function holdTime(what: string, realMs: number, seconds: number): void {
  const late = seconds - realMs / 1000
  strictEqual(late > -1 && late < HISTORY_S, true, `${what}: ${seconds} s, and is ${realMs} ms away`)
}
