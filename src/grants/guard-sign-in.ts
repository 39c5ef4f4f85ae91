import { MEMORY, networkDigests } from '../accounts/known-network.ts'
import { OAuthError, ThrottledError } from '../oauth/errors.ts'
import { BATCHES, type Counting } from '../stores/contract.ts'
import type { TokenServices } from './grant.ts'
import { insist } from './insist.ts'
import { type Budget, type BudgetCharge, chargesOf } from './sign-in-budgets.ts'

/**
 * Longer than a sign-in takes: the waiting for the hash and the hash, or else the verify webhook, and the store. Only one
 * that the webhook vouched for may take longer, where a busy machine and others at the same record keep it up again and
 * again. It holds its place no longer then; a failure is charged all the same.
 */
const PENDING_MS = 15_000

export type GuardServices = Pick<TokenServices, 'store' | 'settings' | 'refreshSecrets' | 'signInLines'>

/** Whose sign-in it is, and what to do when it is refused before it began. */
export interface GuardedSignIn {
  readonly username: string
  /** The IPv4 /24 or IPv6 /64 that it comes from. */
  readonly prefix: string
  /** The IPv4 /24 or IPv6 /48. */
  readonly network: string
  readonly onThrottled: (budget: Budget) => void
}

/** What a sign-in is charged to, to be settled. */
interface Reserved {
  readonly charges: readonly BudgetCharge[]
  readonly counting: Counting
}

/**
 * Lets a sign-in try, as long as there is something left in its budgets of failures. What it tries is charged before and
 * given back when it went well, so that no number of guesses at once gets more hashes than the budgets have. Where a
 * budget is held by sign-ins that may yet go well, it waits for these: the right password, many times at once, is
 * never refused.
 *
 * An `OAuthError` is a failure of the one who asks, who does not hear of it before it is written. Any other error is our
 * own trouble, and not counted; nor is an attempt of which nobody was told what became of it.
 *
 * @throws {ThrottledError} when a budget is spent.
 * @throws {UnavailableError} when the counters cannot be reached, or too many wait: nothing is tried uncounted.
 */
export async function guardSignIn<T>(
  services: GuardServices,
  { username, prefix, network, onThrottled }: GuardedSignIn,
  signIn: () => Promise<T>,
): Promise<T> {
  const { store, settings, signInLines } = services
  const digests = networkDigests(services.refreshSecrets, username, prefix)
  const windowMs = 1000 * settings.signInFailureWindow

  const recall = () => store.networks.isKnown(username, digests.all, MEMORY.ms)
  let isKnown = await recall()
  let isFirst = true
  const reserve = async () => {
    // While it waits, another sign-in may have made the network known.
    isKnown ||= !isFirst && (await recall())
    isFirst = false
    const charges = chargesOf(settings, { username, prefix, network, isKnown })
    // By this server's clock: only that a batch is over before it comes round again matters, not when it begins.
    const batch = BATCHES[Math.floor(Date.now() / PENDING_MS) % BATCHES.length]!
    const counting = { windowMs, pendingMs: PENDING_MS, batch }
    const refusal = await store.attempts.reserve(charges, counting)
    if (!refusal) return { charges, counting }
    const refusing = charges[refusal.at]!
    if (refusal.state === 'pending') return { wait: nameOf(refusing) }
    onThrottled(refusing.budget)
    return { refusedBy: nameOf(refusing), error: new ThrottledError(refusal.retryAfterMs) }
  }
  const names = chargesOf(settings, { username, prefix, network, isKnown }).map(nameOf)
  const { charges, counting } = await signInLines.pass<Reserved>(names, reserve)

  const settle = (outcome: 'failed' | 'given_back') =>
    store.attempts.settle(charges, outcome, counting).finally(() => signInLines.wake(charges.map(nameOf)))
  // Said again it might let go of another attempt. It is let go of soon enough without that.
  const giveBack = () => settle('given_back').catch(() => undefined)
  let signedIn: T
  try {
    signedIn = await signIn()
  } catch (error) {
    if (error instanceof OAuthError) {
      // Where it cannot be written, our trouble is all that is told: nobody learns for nothing that it was wrong.
      await insist(() => settle('failed'), PENDING_MS)
    } else {
      // Not waited for: a right password that meets a store in trouble would be told by the time that it takes.
      void giveBack()
    }
    throw error
  }
  await Promise.all([
    store.networks.note(username, digests.active, MEMORY).catch(() => undefined),
    giveBack(),
  ])
  return signedIn
}

const nameOf = ({ subject, counter }: { readonly subject: string; readonly counter: string }) =>
  `${subject} ${counter}`
