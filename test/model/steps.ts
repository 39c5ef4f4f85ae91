import fc from 'fast-check'
import { ACCOUNT_CHANGES, accountStep } from './account-steps.ts'
import { disableClientStep, endClientStep, REGISTRATIONS, registrationStep } from './client-steps.ts'
import { probeStep } from './probe-steps.ts'
import type { Step } from './real.ts'
import { lockstepStep, lostAnswerStep, refreshStep, strangerStep, twiceStep } from './refresh-steps.ts'
import { revokeSessionStep, revokeStep, signInStep } from './session-steps.ts'
import { passStep, restartStep, rollBackStep } from './store-steps.ts'
import { SENDERS } from './world.ts'

/**
 * What can happen in a history besides. Of what takes time there are fewer: a change of a client waits until no server
 * goes by the client of before, and where servers are killed nothing else can go on beside.
 */
export const KINDS = ['plain', 'client changes', 'restarts'] as const
export type Kind = (typeof KINDS)[number]

const SCOPES_ASKED = [undefined, undefined, undefined, undefined, 'read', 'read write', 'read admin'] as const
/** Seconds; every sum of them is far from every limit, or at one. */
const PASSAGES = [100, 100, 100, 100, 600, 600, 1000, 1000, 6000, 6000, 20_000] as const

/** Which of a family's tokens: relative to the generation that the store holds. */
const WHICH = [0, 0, 0, 0, 0, 0, -1, -1, -1, -2, 1, 1, 2] as const

const server = fc.integer({ min: 0, max: 1 })
const sender = fc.constantFrom(...Array.from({ length: SENDERS }, (_, i) => i), 0)
const route = fc.record({ sender, server })
const client = fc.integer({ min: 0, max: 2 })
const family = fc.nat({ max: 3 })
const which = fc.constantFrom(...WHICH)
const anyToken = fc.oneof(fc.constant('access token' as const), which)
const itsClient = fc.constant('its client' as const)
const revoker = fc.oneof(itsClient, client)
const caller = fc.oneof(itsClient, fc.constant('resource server' as const), client)

const refresh = fc.tuple(family, which, fc.constantFrom(...SCOPES_ASKED), route)
const signIn = fc.tuple(client, fc.constantFrom(0, 0, 0, 1), route)

/** How often each comes, and what it is drawn from. */
const PLAIN: [weight: number, step: fc.Arbitrary<Step>][] = [
  [2, signIn.map((args) => signInStep(...args))],
  [25, refresh.map((args) => refreshStep(...args))],
  [2, fc.tuple(family, which, route).map((args) => lostAnswerStep(...args))],
  [2, fc.tuple(family, route).map((args) => twiceStep(...args))],
  [1, fc.tuple(family, fc.integer({ min: 1, max: 3 }), route, sender).map((args) => lockstepStep(...args))],
  [1, fc.tuple(family, which, client, route).map((args) => strangerStep(...args))],
  [1, fc.tuple(family, anyToken, revoker, route).map((args) => revokeStep(...args))],
  [3, fc.tuple(family, anyToken, caller, route).map((args) => probeStep(...args))],
  [6, fc.tuple(family, fc.integer({ min: 1, max: 3 })).map((args) => rollBackStep(...args))],
  [2, fc.constantFrom(...PASSAGES).map(passStep)],
  [1, family.map(revokeSessionStep)],
  [1, fc.constantFrom('enable', 'enable', ...ACCOUNT_CHANGES).map(accountStep)],
]

const CLIENT_CHANGES: typeof PLAIN = [
  [1, client.map(endClientStep)],
  [2, fc.tuple(client, fc.boolean()).map((args) => disableClientStep(...args))],
  [4, fc.tuple(client, fc.constantFrom(...REGISTRATIONS)).map((args) => registrationStep(...args))],
]

const RESTARTS: typeof PLAIN = [
  [1, server.map(restartStep)],
  [1, client.map(endClientStep)],
]

const MORE: Record<Kind, typeof PLAIN> = {
  plain: [],
  'client changes': CLIENT_CHANGES,
  restarts: RESTARTS,
}

/** The steps that histories of this kind are made of; one that is listed more than once comes more often. */
export function steps(kind: Kind): fc.Arbitrary<Step>[] {
  return [...PLAIN, ...MORE[kind]].flatMap(([weight, step]) => Array.from({ length: weight }, () => step))
}
