import { createHmac, randomBytes } from 'node:crypto'

/** What the Standard Webhooks specification allows of a symmetric secret. */
const LEAST_BYTES = 24
const MOST_BYTES = 64
/** The new secret and the one that it replaces. */
const MOST_SECRETS = 2
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/

/**
 * Reads the secrets of a webhook: `whsec_` and base64 each, two with a space between them while one replaces the other.
 *
 * @throws {TypeError} with a message that continues the variable's name and repeats nothing of the secret.
 */
export function parseWebhookSecrets(text: string): Buffer[] {
  const secrets = text.split(' ').map((one) => Buffer.from(SECRET.exec(one)?.[1] ?? '', 'base64'))
  const areGood = secrets.every(({ length }) => length >= LEAST_BYTES && length <= MOST_BYTES)
  if (!areGood || secrets.length > MOST_SECRETS) {
    throw new TypeError(
      `must be whsec_ and the base64 of ${LEAST_BYTES} to ${MOST_BYTES} bytes; or two such, with a space between them`,
    )
  }
  return secrets
}

/** Draws the `webhook-id` of a message. It stays the same when the message is sent again. */
export function newMessageId(): string {
  return `msg_${randomBytes(16).toString('base64url')}`
}

/**
 * The headers that sign a message (Standard Webhooks, "Signature scheme"): one signature for each secret.
 *
 * @param timestamp seconds since 1970; the time of this attempt.
 * @param body exactly as it is sent.
 */
export function signatureHeaders(
  secrets: readonly Buffer[],
  { id, timestamp, body }: { readonly id: string; readonly timestamp: number; readonly body: string },
): Record<string, string> {
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`,
  )
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures.join(' '),
  }
}
