import { usernameKey } from '../accounts/user.ts'
import type { Charge } from '../stores/contract.ts'

/** How many failed sign-ins are let through, each within the window. */
export interface SignInBudgets {
  /** For one account from one network. */
  readonly signInFailuresPerAccount: number
  /** From one network, for accounts that do not know it. */
  readonly signInFailuresPerNetwork: number
  /** From everywhere, for accounts that do not know where. */
  readonly signInFailuresInTotal: number
  /** Seconds. */
  readonly signInFailureWindow: number
}

/** From all networks that an account does not know together: so many times what one network has. */
export const ACCOUNT_WIDE_FACTOR = 5
/** A network without a failure yet finds a budget spent only when so many times as much is. */
export const NEWCOMER_FACTOR = 10

/** The budgets, by the names under which the audit log and docs/guessing-defence.md know them. */
export const BUDGETS = ['account_network', 'account', 'network', 'total'] as const
export type Budget = (typeof BUDGETS)[number]

/** Whose sign-in, and from where. */
export interface SignInAttempt {
  readonly username: string
  /** The IPv4 /24 or IPv6 /64. */
  readonly prefix: string
  /** The IPv4 /24 or IPv6 /48, in which whoever has one of its /64 may well have them all. */
  readonly network: string
  /** Whether this account signed in well from there before. */
  readonly isKnown: boolean
}

export interface BudgetCharge extends Charge {
  readonly budget: Budget
}

/** Under which subject an account's failures are counted, whether there is such an account or not. */
export const accountSubject = (username: string) => `account:${usernameKey(username)}`

/** The counter of everything that is counted for a subject, beside those of single networks. */
const ALL = 'all'

/**
 * The law of guessing defence: which budgets a sign-in is charged to. It never asks whether there is such an account.
 *
 * From a network that the account knows, there is one budget, which nobody else can spend. From any other the budgets
 * that strangers share count too. Those have room left for newcomers: whoever spends them from some networks does not
 * keep out those who come for the first time from another.
 */
export function chargesOf(
  budgets: SignInBudgets,
  { username, prefix, network, isKnown }: SignInAttempt,
): BudgetCharge[] {
  const here: BudgetCharge = {
    budget: 'account_network',
    subject: accountSubject(username),
    counter: prefix,
    limit: budgets.signInFailuresPerAccount,
  }
  if (isKnown) return [here]
  const accountWide = ACCOUNT_WIDE_FACTOR * budgets.signInFailuresPerAccount
  const one: BudgetCharge = {
    budget: 'network',
    subject: `network:${prefix}`,
    counter: ALL,
    limit: budgets.signInFailuresPerNetwork,
  }
  const charges = [here]
  /** Adds a budget with room for those in whose counter, the last that was added, nothing is. */
  const share = (charge: BudgetCharge) => {
    const newcomers = { limit: NEWCOMER_FACTOR * charge.limit, emptyAt: charges.length - 1 }
    charges.push({ ...charge, newcomers })
  }
  // Nobody becomes a newcomer again by another /64 of the same /48.
  if (network !== prefix) charges.push({ ...here, counter: network, limit: accountWide })
  share({ budget: 'account', subject: here.subject, counter: ALL, limit: accountWide })
  charges.push(one)
  if (network !== prefix) {
    charges.push({ ...one, subject: `network:${network}`, limit: NEWCOMER_FACTOR * one.limit })
  }
  share({ budget: 'total', subject: 'total', counter: ALL, limit: budgets.signInFailuresInTotal })
  return charges
}
