import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { hash } from '@node-rs/argon2'
import { pino } from 'pino'
import type { Test } from 'tap'
import { newClient } from '../../src/accounts/client.ts'
import {
  newEpoch,
  newSub,
  type User,
  userLocator,
  withoutAccess,
  withoutSessions,
  withPassword,
} from '../../src/accounts/user.ts'
import type { AuditEvent } from '../../src/audit/event.ts'
import { CommandError } from '../../src/cli/command.ts'
import { changeUser, deleteUser, requireUser } from '../../src/cli/user.ts'
import { readConfig } from '../../src/config/config.ts'
import { revokeToken } from '../../src/endpoints/revocation.ts'
import { requestToken } from '../../src/endpoints/token.ts'
import type { TokenServices } from '../../src/grants/grant.ts'
import { startServer } from '../../src/http/server.ts'
import { OAuthError, UnavailableError } from '../../src/oauth/errors.ts'
import { parseForm } from '../../src/oauth/form.ts'
import { aroundStore } from '../../src/stores/around-store.ts'
import type { Store } from '../../src/stores/contract.ts'
import { untilReachable } from '../../src/stores/open-store.ts'
import { DamagedRecordError } from '../../src/stores/sound-records.ts'
import { familyIdOf, mintRefreshToken, newHandle, readRefreshToken } from '../../src/tokens/refresh-token.ts'
import * as law from '../model/law.ts'
import { GRACE_S, IDLE_S, MAX_S, type Model, type ModelUser, newModel, SCOPES } from '../model/model.ts'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { claimsOf, encode } from '../support/http-client.ts'
import { type Operation, type Played, permutations, playAllOrders } from './schedules.ts'

/** The generation that the session is at when the operations begin: so there is a predecessor, and an older one. */
const CURRENT = 2
const SENDER = { network: '192.0.2.0/24', agent: 'a test' }
const PASSWORD = 'the long password of everybody'
const CLIENTS = ['web', 'stranger'] as const
/** By the law. */
const SIGN_IN = { client: 0, password: 0, sender: 0 }
/** Combinations that are played at once: those on LMDB then share its flushes. */
const LANES = 12

/** What is played with: servers' services on one store, and what their audit trail says. */
interface Stage {
  readonly services: TokenServices
  readonly user: Omit<User, 'sub' | 'username' | 'epoch'> & { readonly passwordHash: string }
  readonly clientEpoch: number
}

/** One session, in a world of its own. */
interface Scene {
  readonly store: Store
  readonly user: User
  readonly sid: string
  token(generation: number): string
  post(endpoint: 'token' | 'revoke', form: Readonly<Record<string, string>>): Promise<string>
}

/** One thing that somebody does, really and by the law. What it comes to is one text. */
interface Act {
  real(scene: Scene): Promise<string>
  law(model: Model): string
}

const refreshing = (back: number, client: 0 | 1 = 0, scope?: string): Act => ({
  real: ({ post, token }) =>
    post('token', {
      grant_type: 'refresh_token',
      refresh_token: token(CURRENT - back),
      client_id: CLIENTS[client],
      ...(scope !== undefined && { scope }),
    }),
  law: (model) => said(law.refresh(model, 0, { presented: CURRENT - back, client, sender: 0, scope })),
})

const revoking = (back: number, client: 0 | 1 = 0): Act => ({
  real: ({ post, token }) => post('revoke', { token: token(CURRENT - back), client_id: CLIENTS[client] }),
  law(model) {
    law.revoke(model, 0, client)
    return 'revoked'
  },
})

/** As a command does it: a look, and a change. */
const accountChange = (
  change: (store: Store, user: User) => Promise<void>,
  held: (user: ModelUser) => void,
): Act => ({
  async real({ store, user }) {
    try {
      await change(store, await requireUser(store, user.username))
      return 'done'
    } catch (error) {
      if (error instanceof CommandError) return 'no such user'
      throw error
    }
  },
  law({ user }) {
    if (user.deleted) return 'no such user'
    user.epoch += 1
    held(user)
    return 'done'
  },
})

export const ACTS = {
  refresh: refreshing(0),
  'narrow refresh': refreshing(0, 0, 'read'),
  'wide refresh': refreshing(0, 0, 'read admin'),
  repeat: refreshing(1),
  reuse: refreshing(2),
  'stranger’s refresh': refreshing(0, 1),
  revoke: revoking(0),
  'revoke an old token': revoking(2),
  'stranger’s revoke': revoking(0, 1),
  'operator’s revoke': {
    real: ({ store, sid }) => store.families.revoke(sid, 'operator'),
    law: (model) => law.revokeSession(model, 0),
  },
  disable: accountChange(
    (store, user) => changeUser(store, user, withoutAccess(user)),
    (user) => {
      user.disabled = true
    },
  ),
  'password change': accountChange(
    (store, user) => changeUser(store, user, withPassword(user, `${user.passwordHash?.slice(0, -4)}AAAA`)),
    (user) => {
      user.password = 1
    },
  ),
  'sign out everywhere': accountChange(
    (store, user) => changeUser(store, user, withoutSessions(user)),
    () => {},
  ),
  'user deletion': accountChange(deleteUser, (user) => {
    user.deleted = true
  }),
  'sign-in': {
    async real({ post, user }) {
      const { username } = user
      const form = { grant_type: 'password', username, password: PASSWORD, client_id: CLIENTS[0] }
      try {
        return await post('token', form)
      } catch (error) {
        // Told to come again, as where the account changed in the middle, a client does.
        if (isPassing(error)) return await post('token', form)
        throw error
      }
    },
    law: (model) => said(law.signIn(model, SIGN_IN)),
  },
} satisfies Record<string, Act>

export type ActName = keyof typeof ACTS

const said = ({ error, tokens }: law.Expected) => error ?? `generation ${tokens?.generation}`

/**
 * Plays acts against each other in every order of their await points, on a real store, through the endpoints.
 *
 * An order is right when the law, which knows no "at once", comes to the very same answers, record and audit trail for
 * the acts one after the other, in some order that keeps who was over before whom had begun.
 *
 * @param combinations of acts.
 * @param points where an act can be held up at a question to the store: before it goes out and before its answer is
 *   heard, or only the latter, which makes every order of the questions.
 * @param tell hears of each combination that is done, since all of them take a while.
 * @returns how many interleavings there were of each combination.
 */
export async function playInterleavings(
  t: Test,
  kind: StoreKind,
  combinations: readonly (readonly ActName[])[],
  points: 'both' | 'answers',
  tell: (line: string) => void = () => {},
): Promise<Map<string, number>> {
  const stage = await openStage(t, kind)
  const counts = new Map<string, number>()
  const waiting = [...combinations]
  // Each has a user of its own, so they can be played side by side.
  const lane = async () => {
    // Sign-ins ask the most questions; they stand last, and are not to be left over.
    for (let names = waiting.pop(); names; names = waiting.pop()) {
      const what = names.join(' × ')
      const begin = performance.now()
      const count = await playOne(stage, names, points)
      counts.set(what, count)
      const seconds = ((performance.now() - begin) / 1000).toFixed(1)
      tell(`${what}: ${count} orders, ${seconds} s; ${waiting.length} combinations to go`)
    }
  }
  // Where one fails the others end what they are at, while the store is still there.
  const stopping = async () => {
    await lane().finally(() => {
      waiting.length = 0
    })
  }
  const lanes = await Promise.allSettled(Array.from({ length: LANES }, stopping))
  for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason
  return counts
}

/** Every two of the acts, and each with itself. */
export function pairs(names = Object.keys(ACTS) as ActName[]): ActName[][] {
  return names.flatMap((one, i) => names.slice(i).map((other) => [one, other]))
}

async function openStage(t: Test, kind: StoreKind): Promise<Stage> {
  const { env } = await deploy(t, kind)
  const config = readConfig({
    ...env,
    PORT: '0',
    MANAGEMENT_PORT: '0',
    ISSUER: 'http://localhost:9000',
    REFRESH_TOKEN_GRACE: String(GRACE_S),
    REFRESH_TOKEN_IDLE_TTL: String(IDLE_S),
    REFRESH_TOKEN_MAX_TTL: String(MAX_S),
    AUDIT_STREAM_LENGTH: '0',
    // In thousands of orders more sign-ins fail, all from one network, than any budget has.
    SIGN_IN_FAILURES_PER_NETWORK: '1000000',
    SIGN_IN_FAILURES_IN_TOTAL: '1000000',
  })
  const { services, close } = await startServer(config, pino({ level: 'silent' }))
  t.teardown(close)
  await untilReachable(services.store, 10_000)
  const clients = CLIENTS.map((clientId) =>
    newClient({ clientId, type: 'public', grants: ['password', 'refresh_token'], scopes: SCOPES }),
  )
  const clientEpoch = clients[0]!.epoch
  for (const client of clients) await services.store.clients.create({ ...client, epoch: clientEpoch })
  // What a guess costs makes no difference to any order, and there are thousands of them.
  const passwordHash = await hash(PASSWORD, { memoryCost: 8, timeCost: 1, parallelism: 1 })
  // Nor is it replaced by a dear one.
  const rehashing = { consider() {}, async settled() {} }
  return {
    services: { ...services, rehashing },
    user: { passwordHash, disabled: false, claims: {}, createdAt: Date.now() },
    clientEpoch,
  }
}

async function playOne(stage: Stage, names: readonly ActName[], points: 'both' | 'answers'): Promise<number> {
  const acts = names.map((name) => ACTS[name])
  const prepare = async () => {
    const { scene, events, tokens } = await openScene(stage)
    const operations = acts.map(
      (act): Operation<string> =>
        (pause) =>
          act.real(sceneOf(scene, pausing(scene.services.store, pause, points))),
    )
    return {
      operations,
      async judge(played: readonly Played<string>[], order: string) {
        const what = `${names.join(' × ')}, in the order ${order}`
        const seen = await lookAfter(scene, played)
        const lawful = ordersOf(played).map((sequence) => byTheLaw(acts, sequence))
        if (!lawful.some((one) => JSON.stringify(one) === JSON.stringify(seen)))
          deepStrictEqual(seen, lawful[0], `${what}: as in none of ${lawful.length} sequences`)
        for (const [generation, texts] of tokens)
          strictEqual(texts.size, 1, `${what}: generation ${generation} has one token`)
        holdTrail(events, names, seen.revoked, what)
      },
    }
  }
  return playAllOrders<string>(prepare, isPassing)
}

/** The store did not answer in time, on a machine that does much else. */
const isPassing = (error: unknown) =>
  error instanceof UnavailableError && !(error instanceof DamagedRecordError)

/** The store as one act sees it: held up at each question. */
function pausing(store: Store, pause: () => Promise<void>, points: 'both' | 'answers'): Store {
  const around = aroundStore(store, async (verb, question) => {
    // Counters of failures and known networks are nothing to a session.
    if (/^(attempts|networks)\./.test(verb)) return question()
    if (points === 'both') await pause()
    try {
      return await question()
    } finally {
      await pause()
    }
  })
  // A lease would make the number of questions a matter of time.
  return { ...around, clients: { ...around.clients, recall: () => undefined } }
}

interface OpenScene extends Omit<Scene, 'store' | 'post'> {
  readonly services: TokenServices
  readonly heard: (text: string) => string
}

/** A user, and a session of the user at `CURRENT`. */
async function openScene({ services: shared, user: common, clientEpoch }: Stage) {
  const events: AuditEvent[] = []
  const services = { ...shared, audit: (event: AuditEvent) => void events.push(event) }
  const { store, refreshSecrets } = services
  const sub = newSub()
  const user: User = { ...common, sub, username: sub, epoch: newEpoch() }
  await store.users.create(user)
  const handle = newHandle(userLocator(sub))
  const sid = familyIdOf(handle)
  const idleMs = 1000 * IDLE_S
  const turn = { id: sid, clientId: CLIENTS[0], clientEpoch, sender: SENDER, idleMs }
  await store.families.create({
    ...turn,
    userEpoch: user.epoch,
    scope: SCOPES,
    audience: ['everybody'],
    maxMs: 1000 * MAX_S,
  })
  for (let from = 0; from < CURRENT; from += 1) await store.families.advance({ ...turn, from, to: from + 1 })

  const tokens = new Map<string, Set<string>>()
  const scene: OpenScene = {
    services,
    user,
    sid,
    token: (generation) => mintRefreshToken(refreshSecrets, { handle, generation }),
    heard(text) {
      const { generation, handle: of } = readRefreshToken(refreshSecrets, text)!
      const name = `${familyIdOf(of)} ${generation}`
      tokens.set(name, (tokens.get(name) ?? new Set()).add(text))
      return `generation ${generation}`
    },
  }
  return { scene, events, tokens }
}

/** The scene as one act plays in it: through the endpoints, on a store of its own view. */
function sceneOf(open: OpenScene, store: Store): Scene & { begun?: string } {
  const services = { ...open.services, store }
  return {
    ...open,
    store,
    async post(endpoint, form) {
      const request = {
        form: parseForm(String(encode(form))),
        authorization: undefined,
        sender: SENDER,
        prefix: () => '192.0.2.0/24',
        notes: {},
      }
      try {
        if (endpoint === 'revoke') {
          await revokeToken(services, request)
          return 'revoked'
        }
        const answer = await requestToken(services, request)
        const { scope } = claimsOf(answer.access_token)
        strictEqual(
          scope,
          form.scope ?? SCOPES.join(' '),
          'the scope is what was asked for, of what was granted',
        )
        return open.heard(answer.refresh_token!)
      } catch (error) {
        if (error instanceof OAuthError) return error.code
        throw error
      }
    },
  }
}

/** What can be seen when all is over. */
interface Seen {
  readonly answers: readonly string[]
  readonly generation: number
  readonly revoked: string | undefined
  readonly replays: number
  /** The answers to the newest token, twice over: what is dead stays dead. */
  readonly afterwards: readonly string[]
}

async function lookAfter(open: OpenScene, played: readonly Played<string>[]): Promise<Seen> {
  const { store } = open.services
  const { family } = await store.families.look(open.sid)
  const generation = family?.generation ?? -1
  strictEqual(family!.endsAt - family!.createdAt, 1000 * MAX_S, 'the absolute end has not moved')
  const scene = sceneOf(open, store)
  const newest = { grant_type: 'refresh_token', client_id: CLIENTS[0], refresh_token: open.token(generation) }
  return {
    answers: played.map(({ outcome }) => outcome),
    generation,
    revoked: family?.revoked?.reason,
    replays: family?.replays ?? -1,
    afterwards: [await scene.post('token', newest), await scene.post('token', newest)],
  }
}

/** The sequences of the operations in which none comes before one that was over when it began. */
function ordersOf(played: readonly Played<string>[]): number[][] {
  return permutations(played.length).filter((order) =>
    order.every((one, at) => order.slice(at + 1).every((later) => played[later]!.over >= played[one]!.begun)),
  )
}

function byTheLaw(acts: readonly Act[], sequence: readonly number[]): Seen {
  const model = newModel({
    policies: ['grace', 'grace'],
    confidential: [false, false],
    livesElsewhere: false,
  })
  law.signIn(model, SIGN_IN)
  const refresh = (presented: number) => law.refresh(model, 0, { presented, client: 0, sender: 0 })
  for (let generation = 0; generation < CURRENT; generation += 1) refresh(generation)
  const answers: string[] = []
  for (const at of sequence) answers[at] = acts[at]!.law(model)
  const { generation, revoked, replays } = model.families[0]!.held
  const probe = () => said(refresh(generation))
  return { answers, generation, revoked, replays, afterwards: [probe(), probe()] }
}

/** No false alarm, and no end that is told twice. */
function holdTrail(
  events: readonly AuditEvent[],
  names: readonly ActName[],
  revoked: string | undefined,
  what: string,
): void {
  const times = (event: AuditEvent['event']) => events.filter((told) => told.event === event).length
  const expected = { reuse: revoked === 'reuse' ? 1 : 0, client: revoked === 'client' ? 1 : 0 }
  const told = { reuse: times('refresh.reuse'), client: times('session.revoked') }
  deepStrictEqual(told, expected, `${what}: what the audit trail says of ${names.join(', ')}`)
}
