import { isDeepStrictEqual } from 'node:util'
import { newEpoch, type User, usernameKey } from '../accounts/user.ts'
import { UnavailableError } from '../oauth/errors.ts'
import type { UserChange } from '../stores/contract.ts'
import { createUser } from '../stores/subjects.ts'
import type { Question, Verdict } from '../webhooks/verify-webhook.ts'
import type { TokenServices } from './grant.ts'
import { accountChanged, refusal, type VerifiedUser, verifyHere } from './verified-user.ts'

type VouchedFor = Question &
  Extract<Verdict, { result: 'ok' }> & {
    /** The user of this name before the webhook was asked. */
    readonly before: User | undefined
  }

/** Each further attempt means that another sign-in or command was at the same record in between. */
const MAX_ATTEMPTS = 5
const REASON = 'verify webhook'

/**
 * Admits a user whom the verify webhook vouched for. The `sub` says who it is; the record under it is what sessions
 * hang on: epoch, claims, and whether the user is disabled here. It is made at the first sign-in, and follows the
 * webhook in name and claims at each one (docs/webhooks.md).
 *
 * @throws {UnavailableError} when the `sub` cannot be a user's here, the store does not answer, or the record does not
 *   hold still.
 */
export async function admitVouchedFor(services: TokenServices, asked: VouchedFor): Promise<VerifiedUser> {
  const { store } = services
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const user = await store.users.find(asked.sub)
    // It has been given one meanwhile, or under its own name, which is not the one that was typed.
    if (user?.passwordHash !== undefined) return verifyHere(services, user, asked.password)
    if (user?.disabled) return refusal('the user is disabled', user)
    const admitted = user ? await follow(services, asked, user) : await begin(services, asked)
    if (admitted) return admitted
  }
  throw new UnavailableError('The user is changed by too many requests at once')
}

/** Makes the record. @returns `undefined` where somebody was faster, or had the name. */
async function begin(services: TokenServices, asked: VouchedFor): Promise<VerifiedUser | undefined> {
  const { store, audit } = services
  const { sub, claims = {}, username } = asked
  const user: User = {
    sub,
    username: username.normalize('NFC'),
    ...(await keptPassword(services, asked)),
    disabled: false,
    claims,
    epoch: newEpoch(),
    createdAt: Date.now(),
  }
  const created = await createUser(store, user)
  if (created === 'username_taken') await freeName(services, asked)
  // RFC 9068 section 5: a client's own tokens have its identifier as their sub.
  if (created === 'sub_taken' && (await store.clients.find(sub)))
    throw unusable('a sub that is the identifier of a client')
  if (created !== 'created') return undefined
  // Of those who make one user at the same moment, all hear that they did: the record is of one of them.
  if ((await store.users.find(sub))?.epoch !== user.epoch) return undefined
  audit({ event: 'user.created', actor: 'server', sub, reason: REASON })
  return { user }
}

/** Brings the record up to what the webhook says. @returns `undefined` where the name was another's. */
async function follow(
  services: TokenServices,
  asked: VouchedFor,
  user: User,
): Promise<VerifiedUser | undefined> {
  const { store, audit } = services
  const { sub, claims, before } = asked
  const changed = (names: string[]) =>
    audit({ event: 'user.changed', actor: 'server', sub, changed: names, reason: REASON })
  if (usernameKey(user.username) !== usernameKey(asked.username)) {
    const renamed = await store.users.rename(user, asked.username.normalize('NFC'))
    if (renamed === 'username_taken') await freeName(services, asked)
    if (renamed !== 'renamed') return undefined
    changed(['username'])
  }
  // The epoch of before the question: what ended the user's sessions since then also ends this sign-in.
  const epoch = before?.sub === sub ? before.epoch : user.epoch
  const change: UserChange = {
    ...(claims && !isDeepStrictEqual(claims, user.claims) && { claims }),
    ...(await keptPassword(services, asked)),
  }
  if (Object.keys(change).length > 0) {
    if (!(await store.users.change(sub, change, epoch))) throw accountChanged()
    changed(Object.keys(change))
  }
  return { user: { ...user, ...change, epoch } }
}

/** With `store: true` the next sign-in is verified here. */
async function keptPassword({ passwords }: TokenServices, asked: VouchedFor): Promise<UserChange> {
  return asked.store ? { passwordHash: await passwords.hash(asked.password) } : {}
}

/**
 * The name has gone from one user to another where the users live. The record of the one before stays as it is, with
 * its sessions, and is called by its `sub` until its next sign-in.
 */
async function freeName({ store, audit }: TokenServices, { username, sub }: VouchedFor): Promise<void> {
  const holder = await store.users.findByUsername(username)
  if (!holder || holder.sub === sub) return
  if (holder.passwordHash !== undefined)
    throw unusable('a name that has a password here since it was asked about')
  // A renaming that broke off leaves a user under two names. It is this one that goes.
  if (usernameKey(holder.username) !== usernameKey(username)) {
    await store.users.rename({ sub: holder.sub, username }, holder.username)
    return
  }
  if ((await store.users.rename(holder, holder.sub)) !== 'renamed') return
  audit({ event: 'user.changed', actor: 'server', sub: holder.sub, changed: ['username'], reason: REASON })
}

/** The webhook's answer is well formed, and cannot be gone by here. */
function unusable(what: string): UnavailableError {
  return new UnavailableError('Users cannot be verified just now', {
    cause: new Error(`verify webhook: ${what}`),
  })
}
