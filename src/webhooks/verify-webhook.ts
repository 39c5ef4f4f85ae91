import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleType } from 'cockatiel'
import { type ExtraClaims, parseExtraClaims } from '../accounts/extra-claims.ts'
import { subFault } from '../accounts/user.ts'
import { UnavailableError } from '../oauth/errors.ts'
import { NoAnswerError, postWebhook, type WebhookTarget } from './post.ts'
import { newMessageId } from './signing.ts'

const LIMITS = { timeLimitMs: 2000, maxAnswerBytes: 16 * 1024 }
/** Calls under way at once: with the time limit, as many wait at most. */
const MAX_UNDER_WAY = 64
/** Failures in a row after which the receiver is left alone, and for how long. */
const FAILURES_TO_OPEN = 5
const OPEN_MS = 5000
const OVERLOADED_RETRY_SECONDS = 1

/** Who asks to be verified, and through which client. */
export interface Question {
  readonly username: string
  readonly password: string
  readonly clientId: string
}

/** What the receiver says of a name and a password. */
export type Verdict =
  | {
      readonly result: 'ok'
      readonly sub: string
      /** `undefined` says nothing of them. */
      readonly claims: ExtraClaims | undefined
      /** Whether the password may be kept here, as a hash, so that the next sign-in needs no webhook. */
      readonly store: boolean
    }
  | { readonly result: 'denied' | 'unknown' }

/** Asks the receiver of VERIFY_WEBHOOK_URL. */
export interface VerifyWebhook {
  /** @throws {UnavailableError} when there is no answer that can be understood, or none is waited for. */
  verify(question: Question): Promise<Verdict>
}

/** Told when the receiver is left alone, and when it answers again. */
export type OnVerifyWebhookChange = (state: 'answers' | 'fails', reason?: string) => void

/** The receiver itself is in trouble, whoever is asked about. */
class ReceiverDownError extends Error {}

/**
 * The verify webhook: users who live elsewhere.
 *
 * A breaker keeps sign-ins from waiting for a receiver that is down: after some failures in a row the answer is no at
 * once, and after a while one sign-in tries whether it is back. It counts no answer and the statuses of a server that
 * is overloaded or gone. Any other bad answer concerns the one who is asked about, or else one odd name, sent often
 * enough, would shut everybody out.
 */
export function createVerifyWebhook(target: WebhookTarget, onChange: OnVerifyWebhookChange): VerifyWebhook {
  const breaker = circuitBreaker(handleType(ReceiverDownError), {
    halfOpenAfter: OPEN_MS,
    breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN),
  })
  let openUntil = 0
  let isOpen = false
  breaker.onBreak((reason) => {
    openUntil = Date.now() + OPEN_MS
    // A probe that fails opens it anew; that is no news.
    if (!isOpen) onChange('fails', 'error' in reason ? reason.error.message : undefined)
    isOpen = true
  })
  breaker.onReset(() => {
    isOpen = false
    onChange('answers')
  })

  async function ask(body: string): Promise<string> {
    const answer = await postWebhook(target, { id: newMessageId(), body }, LIMITS).catch((error: unknown) => {
      throw error instanceof NoAnswerError ? new ReceiverDownError(error.message) : error
    })
    const { status, text } = answer
    if (status === 429 || (status >= 502 && status <= 504)) throw new ReceiverDownError(`status ${status}`)
    if (status !== 200) throw new BadAnswerError(`status ${status}`)
    if (text === undefined) throw new BadAnswerError('an answer that is too large or not UTF-8')
    return text
  }

  let underWay = 0
  return {
    async verify({ username, password, clientId }) {
      if (underWay >= MAX_UNDER_WAY) {
        throw unavailable('too many calls are under way', OVERLOADED_RETRY_SECONDS)
      }
      // While one tries, the others do not wait to see what becomes of it.
      if (breaker.state === CircuitState.HalfOpen) throw unavailable('it is being tried again')
      underWay += 1
      try {
        const body = JSON.stringify({ username, password, client_id: clientId })
        return readVerdict(await breaker.execute(() => ask(body)))
      } catch (error) {
        if (error instanceof BrokenCircuitError) {
          const seconds = Math.max(1, Math.ceil((openUntil - Date.now()) / 1000))
          throw unavailable('it failed too often and is left alone', seconds)
        }
        if (error instanceof ReceiverDownError || error instanceof BadAnswerError) {
          throw unavailable(error.message)
        }
        throw error
      } finally {
        underWay -= 1
      }
    },
  }
}

/** What the client may know is a constant; the log says what it was. */
function unavailable(reason: string, retryAfterSeconds = Math.ceil(OPEN_MS / 1000)): UnavailableError {
  return new UnavailableError('Users cannot be verified just now', {
    cause: new Error(`verify webhook: ${reason}`),
    retryAfterSeconds,
  })
}

/** There is an answer, and it is none of those that docs/webhooks.md lists. The message repeats nothing of it. */
class BadAnswerError extends Error {}

/** @throws {BadAnswerError} */
function readVerdict(text: string): Verdict {
  const { result, sub, claims, store } = objectOf(text)
  if (result === 'denied' || result === 'unknown') return { result }
  if (result !== 'ok') throw new BadAnswerError('a result that is none of ok, denied, unknown')
  if (typeof sub !== 'string') throw new BadAnswerError('an ok without a sub')
  const fault = subFault(sub)
  if (fault) throw new BadAnswerError(`a sub that ${fault}`)
  if (store !== undefined && typeof store !== 'boolean')
    throw new BadAnswerError('a store that is no boolean')
  return { result, sub, claims: readClaims(claims), store: store === true }
}

function objectOf(text: string): Record<string, unknown> {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw new BadAnswerError('an answer that is no JSON')
  }
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    throw new BadAnswerError('an answer that is no JSON object')
  }
  return answer as Record<string, unknown>
}

function readClaims(claims: unknown): ExtraClaims | undefined {
  if (claims === undefined) return undefined
  try {
    return parseExtraClaims(JSON.stringify(claims))
  } catch (error) {
    throw new BadAnswerError(`claims that ${(error as Error).message}`)
  }
}
