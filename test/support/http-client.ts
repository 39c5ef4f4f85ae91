import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'

const PATIENCE_MS = 60_000
export const BUSY = 'Password hashing takes too long'

const dispatcher = new Agent({ headersTimeout: 30_000, bodyTimeout: 30_000 })

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body read as JSON; undefined when it is none. */
  readonly json: Readonly<Record<string, unknown>> | undefined
  /** Milliseconds from asking to the body's end. */
  readonly ms: number
}

export type Headers = Readonly<Record<string, string>>
/** The parameters of a form, or the body as it is to be sent. */
export type Form = string | Buffer | Readonly<Record<string, string | undefined>>

export const FORM_TYPE = 'application/x-www-form-urlencoded'

/** @throws Error when the connection is refused or cut. */
export async function ask(
  url: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Headers; body?: string | Buffer } = {},
): Promise<Answer> {
  const begin = performance.now()
  const response = await request(url, { dispatcher, method: method as 'GET', headers, body: body ?? null })
  const text = await response.body.text()
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    json: jsonOf(text),
    ms: performance.now() - begin,
  }
}

/** Posts a form to an address; `headers` may replace the content type. */
export function postForm(url: string, form: Form, headers: Headers = {}): Promise<Answer> {
  return ask(url, { method: 'POST', headers: { 'content-type': FORM_TYPE, ...headers }, body: encode(form) })
}

export function encode(form: Form): string | Buffer {
  if (typeof form === 'string' || Buffer.isBuffer(form)) return form
  const given = Object.entries(form).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return new URLSearchParams(given).toString()
}

/** The header of `client_secret_basic`, both parts as they are given. */
export function basic(clientId: string, secret: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` }
}

export interface Tokens {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly refresh_token: string
  readonly scope: string
}

/** What a sign-in needs to know: the account and the client that asks for it. */
export type Credentials = {
  readonly client_id: string
  readonly client_secret?: string
  readonly username: string
  readonly password: string
}

/** Asks the server of this base URL for a sign-in, whatever comes of it. */
export function trySignIn(
  url: string,
  credentials: Credentials,
  scope?: string,
  headers?: Headers,
): Promise<Answer> {
  const form = { grant_type: 'password', ...credentials, scope }
  return inTheEnd(() => postForm(`${url}/token`, form, headers))
}

/** Signs in. @throws Error unless the answer is 200. */
export async function signIn(...args: Parameters<typeof trySignIn>): Promise<Tokens> {
  return tokensOf(await trySignIn(...args))
}

/** The answer of a machine that has time to hash: whoever is asked to come again for want of it does, as good clients do. */
export async function inTheEnd(ask: () => Promise<Answer>): Promise<Answer> {
  const end = performance.now() + PATIENCE_MS
  let answer = await ask()
  while (answer.status === 503 && answer.json?.detail === BUSY && performance.now() < end) {
    await sleep(1000 * Number(answer.headers['retry-after']))
    answer = await ask()
  }
  return answer
}

/** Asks for a refresh, whatever comes of it. */
export function tryRefresh(
  url: string,
  refreshToken: string,
  form: Readonly<Record<string, string | undefined>>,
  headers?: Headers,
): Promise<Answer> {
  return postForm(
    `${url}/token`,
    { grant_type: 'refresh_token', refresh_token: refreshToken, ...form },
    headers,
  )
}

/** Refreshes. @throws Error unless the answer is 200. */
export async function refresh(...args: Parameters<typeof tryRefresh>): Promise<Tokens> {
  return tokensOf(await tryRefresh(...args))
}

/** @throws Error with the answer unless it is 200. */
export function tokensOf(answer: Answer): Tokens {
  if (answer.status !== 200) throw new Error(`the answer is ${answer.status}: ${answer.text}`)
  return answer.json as unknown as Tokens
}

/** The claims of a JWT, its signature not looked at. */
export function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
}

/**
 * Sends octets as they are and returns all that comes back until the server closes the connection.
 *
 * @throws Error when it has not closed it after `timeoutMs`.
 */
export async function sendRaw(port: number, octets: string | Buffer, timeoutMs = 20_000): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received += text
  })
  // A reset after the answer is an answer all the same.
  socket.on('error', () => {})
  socket.write(octets)
  const timeout = setTimeout(() => socket.destroy(new Error('timeout')), timeoutMs)
  await once(socket, 'close').catch(() => {})
  clearTimeout(timeout)
  if (socket.errored?.message === 'timeout')
    throw new Error(`the connection is still open; so far: ${received}`)
  return received
}

function jsonOf(text: string): Answer['json'] {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
