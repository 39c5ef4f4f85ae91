import type { Test } from 'tap'
import type { Answer } from './http-client.ts'

// RFC 6749 section 5.2: values of error_description are of these characters only.
const DESCRIPTION = /^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/

/** Asserts an error of the first family: the request, the client or the grant is at fault (RFC 6749 section 5.2). */
export function expectOAuthError(t: Test, answer: Answer, error: string, message: string = error): void {
  const status = error === 'invalid_client' ? 401 : 400
  const { json = {}, headers } = answer
  const seen = { status: answer.status, error: json.error, members: Object.keys(json).sort() }
  t.strictSame(seen, { status, error, members: ['error', 'error_description'] }, message)
  t.match(json.error_description, DESCRIPTION, `${message}: the description's characters`)
  t.match(
    headers,
    { 'content-type': /^application\/json(;|$)/, 'cache-control': 'no-store' },
    `${message}: headers`,
  )
  const challenge = headers['www-authenticate']
  if (status === 401) t.match(challenge, /^Basic realm="[^"]+"/, `${message}: a 401 has a challenge`)
  else t.equal(challenge, undefined, `${message}: no challenge`)
}

/** Asserts an error of the second family: something that may pass, or no matter of OAuth (RFC 9457). */
export function expectProblem(t: Test, answer: Answer, status: number, message = `problem ${status}`): void {
  const { json = {}, headers } = answer
  t.match({ status: answer.status, inside: json.status }, { status, inside: status }, message)
  t.match(headers['content-type'], /^application\/problem\+json(;|$)/, `${message}: content type`)
  t.notOk('error' in json, `${message}: no error member`)
  t.strictSame(
    Object.keys(json).filter((name) => !['title', 'status', 'detail'].includes(name)),
    [],
    `${message}: no other member`,
  )
}

/** Asserts the 503 that clients are told to wait after. */
export function expectUnavailable(t: Test, answer: Answer, message = 'unavailable'): void {
  expectProblem(t, answer, 503, message)
  t.match(answer.headers['retry-after'], /^[1-9]\d*$/, `${message}: Retry-After`)
}
