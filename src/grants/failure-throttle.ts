import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { ThrottledError } from '../oauth/errors.ts'

/** A budget of failures. */
export interface FailureThrottle {
  /** Counts one failure. @throws {ThrottledError} when the budget is used up. */
  count(network: string): Promise<void>
}

/** Each server counts for itself. @param failures in `seconds`, for each network. */
export function createFailureThrottle(failures: number, seconds: number): FailureThrottle {
  const limiter = new RateLimiterMemory({ points: failures, duration: seconds })
  return {
    async count(network) {
      try {
        await limiter.consume(network)
      } catch (error) {
        if (!(error instanceof RateLimiterRes)) throw error
        throw new ThrottledError(Math.max(1, Math.ceil(error.msBeforeNext / 1000)))
      }
    },
  }
}
