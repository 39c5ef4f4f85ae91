import { CLIENT, PASSWORD, USER_AGENT } from './registration.ts'

/** A request of the load, and what is read from its answer. */
export interface Exchange {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Tokens {
  readonly accessToken: string
  /** What the next refresh is asked with. */
  readonly refreshToken: string
}

/** How a server is spoken to. */
export interface Dialect {
  /** Whether each refresh brings another refresh token. */
  readonly rotates: boolean
  signIn(username: string): Exchange
  refresh(refreshToken: string): Exchange
  /**
   * @param headers of the answer, names in lower case.
   * @param refreshToken that the refresh was asked with; empty for a sign-in.
   */
  tokensOf(text: string, headers: Readonly<Record<string, unknown>>, refreshToken: string): Partial<Tokens>
}

function form(path: string, fields: Record<string, string>): Exchange {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': USER_AGENT },
    body: new URLSearchParams(fields).toString(),
  }
}

/** RFC 6749 sections 4.3 and 6, for a public client. */
function oauth(signInPath: string, refreshPath: string): Dialect {
  const client_id = CLIENT.clientId
  return {
    rotates: true,
    signIn: (username) =>
      form(signInPath, { grant_type: 'password', client_id, username, password: PASSWORD }),
    refresh: (refresh_token) => form(refreshPath, { grant_type: 'refresh_token', client_id, refresh_token }),
    tokensOf(text) {
      const { access_token, refresh_token } = JSON.parse(text)
      return { accessToken: access_token, refreshToken: refresh_token }
    },
  }
}

/** A session that is a bearer token, and an access token for whoever has one. */
const SESSION_AND_JWT: Dialect = {
  rotates: false,
  signIn: (email) => ({
    method: 'POST',
    path: '/api/auth/sign-in/email',
    headers: { 'content-type': 'application/json', 'user-agent': USER_AGENT },
    body: JSON.stringify({ email, password: PASSWORD }),
  }),
  refresh: (session) => ({
    method: 'GET',
    path: '/api/auth/token',
    headers: { authorization: `Bearer ${session}`, 'user-agent': USER_AGENT },
  }),
  tokensOf(text, headers, session) {
    if (session !== '') return { accessToken: JSON.parse(text).token, refreshToken: session }
    return { accessToken: '', refreshToken: String(headers['set-auth-token'] ?? '') }
  },
}

export const DIALECTS = {
  oauth: oauth('/token', '/token'),
  tutorial: oauth('/login', '/refresh'),
  'better-auth': SESSION_AND_JWT,
} satisfies Record<string, Dialect>

/** Dialects go to the load process by name. */
export type DialectName = keyof typeof DIALECTS
