import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt, jwtVerify } from 'jose'
import { Agent } from 'undici'
import { DIALECTS, type Dialect, type Exchange, type Tokens } from './dialects.ts'
import { AUDIENCE, type Running } from './peer-servers.ts'

/** Asks a server one thing at a time, or many at once, for what is not timed. */
export class PeerClient {
  readonly dialect: Dialect
  readonly #url: string
  readonly #agent: Agent

  constructor({ contender }: Pick<Running, 'contender'>, url: string) {
    this.dialect = DIALECTS[contender.dialect]
    this.#url = url
    this.#agent = new Agent({ connections: 64, pipelining: 1 })
  }

  /** @throws Error when the answer is not 200 with tokens. */
  async signIn(username: string): Promise<Tokens> {
    const answer = await this.#askAtLast(this.dialect.signIn(username), '')
    if (!answer.tokens) throw new Error(`sign-in: status ${answer.status}: ${answer.text}`)
    return answer.tokens
  }

  /** @throws Error when the answer is not 200 with tokens. */
  async mustRefresh(refreshToken: string): Promise<Tokens> {
    const answer = await this.#askAtLast(this.dialect.refresh(refreshToken), refreshToken)
    if (!answer.tokens) throw new Error(`refresh: status ${answer.status}: ${answer.text}`)
    return answer.tokens
  }

  /** @returns undefined when it is refused. */
  async refresh(refreshToken: string): Promise<Tokens | undefined> {
    return (await this.#askAtLast(this.dialect.refresh(refreshToken), refreshToken)).tokens
  }

  /** @returns undefined when it is refused, or put off. */
  async refreshAtOnce(refreshToken: string): Promise<Tokens | undefined> {
    return (await this.#ask(this.dialect.refresh(refreshToken), refreshToken)).tokens
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** Asks again while it is put off (503): the machine, or the store, has too much to do for the moment. */
  async #askAtLast(exchange: Exchange, used: string) {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#ask(exchange, used)
      if (answer.status !== 503 || attempt === 40) return answer
      await sleep(250)
    }
  }

  async #ask({ path, ...exchange }: Exchange, used: string) {
    const {
      statusCode: status,
      headers,
      body,
    } = await this.#agent.request({
      ...exchange,
      origin: this.#url,
      path,
    })
    const text = await body.text()
    if (status !== 200) return { status, text, tokens: undefined }
    const { accessToken, refreshToken } = this.dialect.tokensOf(text, headers, used)
    return {
      status,
      text,
      tokens: refreshToken ? { accessToken: accessToken ?? '', refreshToken } : undefined,
    }
  }
}

/**
 * Whether the server does what the load relies on: a refresh brings an RS256 access token that verifies, lives for 300
 * seconds and is for the API, and where it rotates, another refresh token.
 *
 * @throws Error when it does not.
 */
export async function check(running: Running, client: PeerClient): Promise<void> {
  const { refreshToken } = await client.signIn(running.usernames[0]!)
  const next = await client.mustRefresh(refreshToken)
  if (client.dialect.rotates && next.refreshToken === refreshToken) throw new Error('the refresh token stays')
  const keys = await running.verificationKeys()
  const options = { algorithms: ['RS256'], audience: AUDIENCE }
  // The two kinds of key have an overload each.
  if (typeof keys === 'function') await jwtVerify(next.accessToken, keys, options)
  else await jwtVerify(next.accessToken, keys, options)
  const { iat, exp, sub } = decodeJwt(next.accessToken)
  if (!sub || exp! - iat! !== 300)
    throw new Error('the access token has no subject, or another lifetime than 300 s')
}
