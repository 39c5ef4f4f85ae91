import type { Test } from 'tap'
import { type Client, newClient } from '../../src/accounts/client.ts'
import { newEpoch, newSub, type User, userLocator } from '../../src/accounts/user.ts'
import type { AdvanceRequest, FamilyView, NewFamily, Store } from '../../src/stores/contract.ts'
import { type Family, NO_LOCKSTEP } from '../../src/tokens/family.ts'
import { familyIdOf, newHandle } from '../../src/tokens/refresh-token.ts'

/*
 * Realistic records. Each has names of its own, so that tests can share a store.
 */
export function someUser(members: Partial<User> = {}): User & { readonly passwordHash: string } {
  const sub = newSub()
  const passwordHash = `$argon2id$v=19$m=19456,t=2,p=1$${'c2FsdA'.repeat(4)}$${'aGFzaA'.repeat(7)}`
  const user = {
    sub,
    username: `Ada ${sub}`,
    passwordHash,
    disabled: false,
    claims: {},
    epoch: newEpoch(),
    createdAt: Date.now(),
  }
  return { ...user, ...members }
}

export function someClient(members: Partial<Client> = {}): Client {
  const clientId = `web-${newSub()}`
  return newClient({
    clientId,
    type: 'public',
    grants: ['password', 'refresh_token'],
    scopes: ['read'],
    ...members,
  })
}

export const idOf = (user: User) => familyIdOf(newHandle(userLocator(user.sub)))

export function someFamily(user: User, members: Partial<NewFamily> = {}): NewFamily {
  return {
    id: idOf(user),
    clientId: 'web',
    clientEpoch: 22,
    userEpoch: user.epoch,
    scope: ['openid', 'profile', 'email'],
    audience: ['https://api.example.com'],
    sender: { network: '192.0.2.0/24', agent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWeb' },
    idleMs: 1_209_600_000,
    maxMs: 7_776_000_000,
    ...members,
  }
}

/** The refresh that the family's client would ask for next. */
export function turn(family: NewFamily, from: number, members: Partial<AdvanceRequest> = {}): AdvanceRequest {
  const { id, clientId, clientEpoch, sender, idleMs } = family
  return { id, from, to: from + 1, clientId, clientEpoch, sender, idleMs, ...members }
}

/** A user in the store, and a session of the user. */
export async function signedIn(store: Store, members: Partial<NewFamily> = {}) {
  const user = someUser()
  await store.users.create(user)
  const begun = someFamily(user, members)
  const times = await store.families.create(begun)
  if (!times) throw new Error('the store did not begin the family')
  return { user, begun, ...times }
}

/** What a family of this beginning is at first. */
export function atFirst(begun: NewFamily, createdAt: number): Family {
  const { id, clientId, clientEpoch, userEpoch, scope, audience, sender, idleMs, maxMs } = begun
  return {
    id,
    generation: 0,
    rotatedAt: createdAt,
    clientId,
    scope,
    audience,
    createdAt,
    endsAt: createdAt + maxMs,
    expiresAt: createdAt + Math.min(idleMs, maxMs),
    userEpoch,
    clientEpoch,
    lastSender: sender,
    replays: 0,
    lockstep: NO_LOCKSTEP,
  }
}

/** @throws Error when the family is gone. */
export function familyIn({ family }: FamilyView): Family {
  if (!family) throw new Error('the family is gone')
  return family
}

/** Redis tells the time and how long a family has left one after the other, and a busy machine may let it wait in between. */
export const CLOCK_MS = 100

/** Asserts that the family is this one, member by member. */
export function expectFamily(t: Test, actual: Family | undefined, expected: Family, message: string): void {
  const { expiresAt = Number.NaN, ...others } = actual ?? {}
  const { expiresAt: expectedEnd, ...expectedOthers } = expected
  t.strictSame(others, expectedOthers, message)
  t.ok(
    Math.abs(expiresAt - expectedEnd) <= CLOCK_MS,
    `${message}: expires at ${expiresAt}, not ${expectedEnd}`,
  )
}
