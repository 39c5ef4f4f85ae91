import { ThrottledError } from '../oauth/errors.ts'
import type { Store } from '../stores/contract.ts'

/** A budget of failures. */
export interface FailureThrottle {
  /** Counts one failure. @throws {ThrottledError} when the budget is used up. */
  count(network: string): Promise<void>
}

/** All servers on the store count together. @param failures in `seconds`, for each network. */
export function createFailureThrottle(
  { attempts }: Pick<Store, 'attempts'>,
  failures: number,
  seconds: number,
): FailureThrottle {
  return {
    async count(network) {
      const charge = { subject: `clients:${network}`, counter: 'all', limit: failures }
      const refusal = await attempts.count(charge, 1000 * seconds)
      if (refusal) throw new ThrottledError(refusal.retryAfterMs)
    },
  }
}
