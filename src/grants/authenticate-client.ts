import { type Client, isClientSecret } from '../accounts/client.ts'
import { OAuthError } from '../oauth/errors.ts'
import { decodeFormValue, type Form } from '../oauth/form.ts'
import type { Sender } from '../tokens/family.ts'
import type { TokenServices } from './grant.ts'

declare const authenticated: unique symbol

/** A client that has proved who it is, as far as its type can. Only {@link authenticateClient} makes one. */
export type AuthenticatedClient = Client & { readonly [authenticated]: true }

/** Who the request says its client is. */
export interface Credentials {
  readonly clientId: string
  /** Empty for the method `none`. */
  readonly secret: string
}

const refused = (detail: string) => new OAuthError('invalid_client', 'Client authentication failed', detail)

/** What client authentication needs of a request, whichever endpoint it goes to. */
export interface ClientRequest {
  readonly form: Form
  /** The `Authorization` header. */
  readonly authorization: string | undefined
  readonly sender: Sender
  /** Works out the IPv4 /24 or IPv6 /64 it comes from, which only a sign-in asks for; empty when unknown. */
  readonly prefix: () => string
}

/** The parameters that client authentication reads. */
export const CLIENT_PARAMETERS = ['client_id', 'client_secret']

/**
 * Client authentication (RFC 6749 section 2.3), the same for every endpoint: `client_secret_basic`,
 * `client_secret_post`, or `none` for a public client.
 *
 * Failures are counted by network. Beyond the budget they are answered with 429; the right secret is still taken, so
 * that nobody can lock a client out: 256 random bits are not guessed, the budget only keeps the noise down.
 *
 * @throws {OAuthError} `invalid_request` for two methods at once or none at all, `invalid_client` when it fails.
 * @throws {ThrottledError} when it fails too often.
 */
export async function authenticateClient(
  { store, clientFailures }: Pick<TokenServices, 'store' | 'clientFailures'>,
  { authorization, form, sender }: ClientRequest,
): Promise<AuthenticatedClient> {
  const readings = readCredentials(authorization, form)
  for (const { clientId, secret } of readings) {
    const recalled = store.clients.recall(clientId)
    if (isGenuine(recalled, secret)) return recalled as AuthenticatedClient
  }
  // A refusal is never by what is recalled: it always costs one look, whether there is such a client or not.
  for (const { clientId, secret } of readings) {
    const client = await store.clients.find(clientId)
    if (isGenuine(client, secret)) return client as AuthenticatedClient
  }
  await clientFailures.count(sender.network)
  throw refused('unknown client, wrong secret, or disabled')
}

function isGenuine(client: Client | undefined, secret: string): boolean {
  // The secret is compared for unknown and public clients too, so that their answer takes as long.
  const isRight = isClientSecret(client, secret)
  if (!client || client.disabled) return false
  // Section 2.3.1 lets a client omit an empty secret; a public client that sends one with content is misconfigured.
  return client.type === 'public' ? secret === '' : isRight
}

/**
 * One reading of the credentials, or two where Basic can be meant in two ways; the standard one comes first.
 *
 * @throws {OAuthError} `invalid_request` for two methods at once or none at all, `invalid_client` for what is no Basic.
 */
export function readCredentials(authorization: string | undefined, form: Form): Credentials[] {
  const clientId = form.values.get('client_id')
  const secret = form.values.get('client_secret')
  if (authorization === undefined) {
    if (clientId === undefined) throw new OAuthError('invalid_request', 'The client_id is missing')
    return [{ clientId, secret: secret ?? '' }]
  }
  // Section 2.3: the client MUST NOT use more than one authentication method in each request.
  if (secret !== undefined) {
    throw new OAuthError('invalid_request', 'More than one client authentication method was used')
  }
  const readings = readBasic(authorization)
  if (clientId !== undefined && !readings.some((reading) => reading.clientId === clientId)) {
    throw new OAuthError('invalid_request', 'The client_id is not the one of the Authorization header')
  }
  return readings
}

/** RFC 7617 section 2. Padded or not; but of a single character at the end nothing would come. */
const BASIC = /^basic +((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3})?={0,2})$/i

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What the base64 says; `undefined` where it is not UTF-8, which would be read as a text that nobody sent. */
function textIn(base64: string): string | undefined {
  try {
    return utf8.decode(Buffer.from(base64, 'base64'))
  } catch {
    return undefined
  }
}

/**
 * HTTP Basic with both parts form-encoded (RFC 6749 section 2.3.1). Widespread clients send them raw, so where the two
 * readings differ the raw one counts as well.
 */
function readBasic(authorization: string): Credentials[] {
  const match = BASIC.exec(authorization)
  if (!match?.[1]) throw refused('the Authorization header is not Basic')
  const text = textIn(match[1])
  if (text === undefined) throw refused('the Basic credentials are not UTF-8')
  const colon = text.indexOf(':')
  if (colon < 0) throw refused('the Basic credentials have no colon')
  const raw = { clientId: text.slice(0, colon), secret: text.slice(colon + 1) }
  try {
    const decoded = { clientId: decodeFormValue(raw.clientId), secret: decodeFormValue(raw.secret) }
    const differs = decoded.clientId !== raw.clientId || decoded.secret !== raw.secret
    return differs ? [decoded, raw] : [raw]
  } catch {
    return [raw]
  }
}
