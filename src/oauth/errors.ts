/**
 * The error codes of RFC 6749 section 5.2 and RFC 7009 section 2.2.1 that this server answers with.
 */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'unsupported_token_type'

/**
 * The request, the client or the grant is at fault: a final answer, in the JSON of RFC 6749 section 5.2.
 *
 * Three audiences, three texts: `code` is for the client's program, `message` (the `error_description`) for its
 * developer and always a constant, `detail` only for our log. Nothing of the request may stand in the first two.
 */
export class OAuthError extends Error {
  readonly code: OAuthErrorCode
  readonly detail: string

  constructor(code: OAuthErrorCode, description: string, detail: string = description) {
    super(description)
    this.name = 'OAuthError'
    this.code = code
    this.detail = detail
  }
}

/**
 * Our own trouble, which may pass: the store is out of reach, a queue is full. Never an OAuth error, because clients
 * take any 4xx with an `error` member as the end of the session and wipe it.
 */
export class UnavailableError extends Error {
  readonly retryAfterSeconds: number

  constructor(what: string, options: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    super(what, { cause: options.cause })
    this.name = 'UnavailableError'
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1
  }
}

/** Too many failures, from one network or for one account: a passing state, hence no OAuth error either. */
export class ThrottledError extends Error {
  readonly retryAfterSeconds: number

  /** @param retryAfterMs until there is room again; told in whole seconds, at least one (RFC 9110 section 10.2.3). */
  constructor(retryAfterMs: number) {
    super('Too many failed attempts')
    this.name = 'ThrottledError'
    this.retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  }
}
