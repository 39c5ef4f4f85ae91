import { VERSION } from '../version.ts'
import { signatureHeaders } from './signing.ts'

/** Where a webhook goes, and what it is signed with. */
export interface WebhookTarget {
  readonly url: string
  readonly secrets: readonly Buffer[]
}

export interface PostLimits {
  /** Milliseconds for the whole call, from the look-up of the name to the end of the answer. */
  readonly timeLimitMs: number
  /** Bytes of the answer, after which no more of it is read. */
  readonly maxAnswerBytes: number
  /** Gives the call up. */
  readonly signal?: AbortSignal
}

export interface WebhookAnswer {
  readonly status: number
  /** `undefined` where it is too large or not UTF-8. */
  readonly text: string | undefined
}

/** No answer came. The message says why, and nothing of what was sent. */
export class NoAnswerError extends Error {}

/**
 * Posts a signed message. A redirect is an answer like any other: what was signed for one address is for no other.
 *
 * @throws {NoAnswerError} when there is no whole answer in time.
 */
export async function postWebhook(
  { url, secrets }: WebhookTarget,
  { id, body }: { readonly id: string; readonly body: string },
  { timeLimitMs, maxAnswerBytes, signal }: PostLimits,
): Promise<WebhookAnswer> {
  // A signal of its own for each call: those that are made of a longer-lived one would gather on that one.
  const call = new AbortController()
  const giveUp = () => call.abort()
  const timer = setTimeout(giveUp, timeLimitMs)
  signal?.addEventListener('abort', giveUp)
  if (signal?.aborted) giveUp()
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: call.signal,
      headers: {
        'content-type': 'application/json',
        'accept-encoding': 'identity',
        'user-agent': `pawl/${VERSION}`,
        ...signatureHeaders(secrets, { id, timestamp: Math.floor(Date.now() / 1000), body }),
      },
      body,
    })
    return { status: response.status, text: await textOf(response, maxAnswerBytes) }
  } catch (error) {
    if (signal?.aborted) throw new NoAnswerError('given up')
    if (call.signal.aborted) throw new NoAnswerError(`no answer within ${timeLimitMs} ms`)
    throw new NoAnswerError(reasonOf(error))
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', giveUp)
  }
}

async function textOf(response: Response, maxBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop early closes the connection.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > maxBytes) return undefined
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    return undefined
  }
}

/** `fetch` says only that it failed; its cause has the system's code. */
function reasonOf(error: unknown): string {
  const { cause, name } = error as Error
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? name
}
