import { strictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import { newEpoch, withoutAccess, withoutSessions, withPassword } from '../../src/accounts/user.ts'
import type { Answer } from '../support/http-client.ts'
import { claimsOf } from '../support/http-client.ts'
import type { Snapshot } from '../support/time-machine.ts'
import type { Expected, Model } from './model.ts'
import * as law from './model.ts'
import { PASSWORDS, type Population, type World } from './world.ts'

/** What the real side of a history knows: what the clients were given, and what to expect in the log. */
export interface Real {
  readonly world: World
  readonly population: Population
  /** For each family its id, its tokens by generation, and its record after each write. */
  readonly families: RealFamily[]
  readonly events: string[]
  readonly decisions: string[]
  userEpoch: number
}

interface RealFamily {
  readonly sid: string
  readonly tokens: Map<number, string>
  accessToken: string
  writes: { snapshot: Snapshot; at: number }[]
}

export type Step = fc.AsyncCommand<Model, Real>

const SCOPES = [undefined, undefined, undefined, undefined, 'read', 'read write', 'read admin'] as const
/** Seconds; every sum of them is far from every limit, or at one. */
const PASSAGES = [100, 100, 100, 100, 600, 600, 1000, 1000, 6000, 6000, 20_000] as const

/** Which of a family's tokens: relative to the generation that the store holds. */
const WHICH = [0, 0, 0, 0, 0, 0, -1, -1, -2, 1, 1, 2] as const

/** The steps that histories are made of; what is listed more than once comes more often. */
export function steps(withRestarts: boolean): fc.Arbitrary<Step>[] {
  const server = fc.integer({ min: 0, max: 1 })
  const client = fc.integer({ min: 0, max: 2 })
  const family = fc.nat({ max: 3 })
  const refresh = fc
    .tuple(family, fc.constantFrom(...WHICH), fc.constantFrom(...SCOPES), server)
    .map((args) => refreshStep(...args))
  const rollBack = fc.tuple(family, fc.integer({ min: 1, max: 3 })).map((args) => rollBackStep(...args))
  return [
    fc
      .tuple(client, fc.constantFrom(0, 0, 0, 1), server)
      .map(([by, password, at]) => signInStep(by, password, at)),
    ...Array.from({ length: 25 }, () => refresh),
    fc.tuple(family, fc.constantFrom(...WHICH), server).map((args) => lostAnswerStep(...args)),
    fc.tuple(family, fc.constantFrom(...WHICH), server).map((args) => lostAnswerStep(...args)),
    fc.tuple(family, server).map((args) => twiceStep(...args)),
    fc.tuple(family, server).map((args) => twiceStep(...args)),
    fc.tuple(family, fc.constantFrom(...WHICH), client, server).map((args) => strangerStep(...args)),
    fc.tuple(family, fc.constantFrom(...WHICH), client, server).map((args) => revokeStep(...args)),
    ...Array.from({ length: 6 }, () => rollBack),
    fc.constantFrom(...PASSAGES).map(passStep),
    fc.constantFrom(...PASSAGES).map(passStep),
    fc.tuple(family).map((args) => revokeSessionStep(...args)),
    fc
      .constantFrom('disable', 'enable', 'enable', 'password', 'sign out everywhere' as const)
      .map((what) => accountStep(what as AccountChange)),
    ...(withRestarts ? [server.map(restartStep), client.map(endClientStep)] : []),
  ]
}

/** Also how each history begins. */
export function signInStep(client: number, password: number, server: number): Step {
  return {
    check: (model) => model.families.length < 5,
    async run(model, real) {
      const { world, population, families } = real
      const expected = law.signIn(model, client, password)
      const answer = await world.post(server, '/token', {
        grant_type: 'password',
        client_id: population.clientIds[client],
        username: population.user.username,
        password: PASSWORDS[password],
      })
      holdAnswer(real, answer, expected)
      if (expected.generation === undefined) return
      const { access_token, refresh_token } = answer.json as Record<string, string>
      const sid = String(claimsOf(access_token!).sid)
      families.push({
        sid,
        tokens: new Map([[0, refresh_token!]]),
        accessToken: access_token!,
        writes: [{ snapshot: await world.machine.take(sid), at: model.now }],
      })
    },
    toString: () => `sign in at client ${client} with password ${password}, server ${server}`,
  }
}

/** The token of a family at a generation relative to the store's, where its holder has it. */
function tokenOf(model: Model, real: Real, family: number, which: number): [number, string] | undefined {
  const generation = (model.families[family]?.held.generation ?? 0) + which
  const token = real.families[family]?.tokens.get(generation)
  return token === undefined ? undefined : [generation, token]
}

function has(model: Readonly<Model>, family: number): boolean {
  return model.families[family] !== undefined
}

async function ask(
  model: Model,
  real: Real,
  family: number,
  client: number,
  which: number,
  scope: string | undefined,
  server: number,
): Promise<void> {
  const known = tokenOf(model, real, family, which)
  if (!known) return
  const [presented, token] = known
  const expected = law.refresh(model, family, presented, client, scope)
  const answer = await real.world.post(server, '/token', {
    grant_type: 'refresh_token',
    client_id: real.population.clientIds[client],
    refresh_token: token,
    scope,
  })
  holdAnswer(real, answer, expected)
  if (expected.generation !== undefined) {
    holdTokens(real, family, answer, expected.generation, scope)
  }
  await holdRecord(model, real, family)
}

function refreshStep(family: number, which: number, scope: string | undefined, server: number): Step {
  return {
    check: (model) => has(model, family),
    run: (model, real) => ask(model, real, family, model.families[family]!.client, which, scope, server),
    toString: () => `refresh family ${family} with token ${which}, scope ${scope}, server ${server}`,
  }
}

function strangerStep(family: number, which: number, client: number, server: number): Step {
  return {
    check: (model) => has(model, family) && model.families[family]!.client !== client,
    run: (model, real) => ask(model, real, family, client, which, undefined, server),
    toString: () => `client ${client} presents token ${which} of family ${family}, server ${server}`,
  }
}

function lostAnswerStep(family: number, which: number, server: number): Step {
  return {
    check: (model) => has(model, family),
    async run(model, real) {
      const known = tokenOf(model, real, family, which)
      if (!known) return
      const [presented, token] = known
      const { client } = model.families[family]!
      const expected = law.refresh(model, family, presented, client, undefined)
      expectInLog(real, expected)
      await real.world.postAndLoseAnswer(server, '/token', {
        grant_type: 'refresh_token',
        client_id: real.population.clientIds[client],
        refresh_token: token,
      })
      await holdRecord(model, real, family)
    },
    toString: () => `the answer to token ${which} of family ${family} is lost, server ${server}`,
  }
}

/** Two tabs: the same token at both servers at once. */
function twiceStep(family: number, first: number): Step {
  return {
    check: (model) =>
      has(model, family) && model.clients[model.families[family]!.client]!.policy !== 'strict',
    async run(model, real) {
      const known = tokenOf(model, real, family, 0)
      if (!known) return
      const [presented, token] = known
      const { client } = model.families[family]!
      const form = {
        grant_type: 'refresh_token',
        client_id: real.population.clientIds[client],
        refresh_token: token,
      }
      const answers = await Promise.all([
        real.world.post(first, '/token', form),
        real.world.post(1 - first, '/token', form),
      ])
      const expected = [0, 1].map(() => law.refresh(model, family, presented, client, undefined))
      // Which of them came first is not for us to say; both are told the same.
      for (const [i, answer] of answers.entries()) {
        holdAnswer(real, answer, expected[i]!)
        const { generation } = expected[i]!
        if (generation !== undefined) holdTokens(real, family, answer, generation, undefined)
      }
      await holdRecord(model, real, family)
    },
    toString: () => `two refreshes of family ${family} at once`,
  }
}

function revokeStep(family: number, which: number, client: number, server: number): Step {
  return {
    check: (model) => has(model, family) && !model.clients[client]!.disabled,
    async run(model, real) {
      const known = tokenOf(model, real, family, which)
      if (!known) return
      real.events.push(...law.revoke(model, family, client))
      const answer = await real.world.post(server, '/revoke', {
        token: known[1],
        client_id: real.population.clientIds[client],
      })
      strictEqual(answer.status, 200)
      await holdRecord(model, real, family)
    },
    toString: () => `client ${client} revokes token ${which} of family ${family}, server ${server}`,
  }
}

function revokeSessionStep(family: number): Step {
  return {
    check: (model) => has(model, family),
    async run(model, real) {
      const outcome = await real.world.machine.store.families.revoke(real.families[family]!.sid, 'operator')
      strictEqual(outcome, law.revokeSession(model, family))
      await holdRecord(model, real, family)
    },
    toString: () => `the operator ends family ${family}`,
  }
}

function rollBackStep(family: number, writes: number): Step {
  return {
    check: (model) =>
      has(model, family) &&
      model.families[family]!.writes.length > writes &&
      law.isThere(model as Model, model.families[family]!),
    async run(model, real) {
      const { machine } = real.world
      const known = real.families[family]!
      law.rollBack(model.families[family]!, writes)
      known.writes = known.writes.slice(0, -writes)
      const { snapshot, at } = known.writes.at(-1)!
      await machine.putBack(known.sid, snapshot)
      await machine.pass(known.sid, 1000 * (model.now - at))
      await holdRecord(model, real, family)
    },
    toString: () => `the store loses ${writes} writes of family ${family}`,
  }
}

function passStep(seconds: number): Step {
  return {
    check: () => true,
    async run(model, real) {
      model.now += seconds
      for (const { sid } of real.families) await real.world.machine.pass(sid, 1000 * seconds)
    },
    toString: () => `${seconds} s pass`,
  }
}

type AccountChange = 'disable' | 'enable' | 'password' | 'sign out everywhere'

function accountStep(what: AccountChange): Step {
  return {
    check: () => true,
    async run(model, real) {
      const { user: held } = model
      const { user, passwordHashes } = real.population
      const now = { ...user, epoch: real.userEpoch }
      if (what === 'password') held.password = 1 - held.password
      if (what !== 'enable') held.epoch += 1
      if (what === 'disable' || what === 'enable') held.disabled = what === 'disable'
      const change = {
        disable: () => withoutAccess(now),
        enable: () => ({ disabled: false }),
        password: () => withPassword(now, passwordHashes[held.password]!),
        'sign out everywhere': () => withoutSessions(now),
      }[what]()
      strictEqual(await real.world.machine.store.users.change(user.sub, change), true)
      if ('epoch' in change) real.userEpoch = change.epoch
    },
    toString: () => `the user: ${what}`,
  }
}

function endClientStep(client: number): Step {
  return {
    check: () => true,
    async run(model, real) {
      model.clients[client]!.epoch += 1
      const epoch = newEpoch()
      await real.world.machine.store.clients.change(real.population.clientIds[client]!, { epoch })
    },
    toString: () => `every session of client ${client} is ended`,
  }
}

function restartStep(server: number): Step {
  return {
    check: () => true,
    run: (_model, real) => real.world.restart(server),
    toString: () => `server ${server} is killed and started again`,
  }
}

function expectInLog(real: Real, expected: Expected): void {
  real.events.push(...expected.events)
  if (expected.decision !== undefined) real.decisions.push(expected.decision)
}

function holdAnswer(real: Real, answer: Answer, expected: Expected): void {
  expectInLog(real, expected)
  const status = expected.error === undefined ? 200 : expected.error === 'invalid_client' ? 401 : 400
  strictEqual(`${answer.status} ${answer.json?.error}`, `${status} ${expected.error}`)
}

/** One live lineage: whoever is handed a generation is handed the same token. And the scope never grows. */
function holdTokens(real: Real, family: number, answer: Answer, generation: number, scope?: string): void {
  const known = real.families[family]!
  const { access_token, refresh_token } = answer.json as Record<string, string>
  const before = known.tokens.get(generation)
  if (before !== undefined) strictEqual(refresh_token, before, `generation ${generation} has one token`)
  known.tokens.set(generation, refresh_token!)
  known.accessToken = access_token!
  const claims = claimsOf(access_token!)
  strictEqual(claims.sid, known.sid)
  strictEqual(claims.scope, scope ?? law.SCOPE.join(' '))
}

/** The record is what the law says, and its absolute end has not moved. Remembers it where it was written. */
async function holdRecord(model: Model, real: Real, index: number): Promise<void> {
  const { machine } = real.world
  const known = real.families[index]!
  const family = model.families[index]!
  const { held } = family
  const { family: record, now } = await machine.store.families.look(known.sid)
  if (!law.isThere(model, family)) {
    strictEqual(record, undefined, 'the record is gone')
    return
  }
  strictEqual(record?.generation, held.generation, 'generation')
  strictEqual(record?.revoked?.reason, held.revoked, 'revoked')
  strictEqual(record?.replays, held.replays, 'replays')
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
