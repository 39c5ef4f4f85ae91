import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { OAuthError, ThrottledError, UnavailableError } from '../oauth/errors.ts'
import { sendProblem } from './problems.ts'

/** RFC 6749 section 5.2: 401 for a client that could not be authenticated, 400 for all else. */
function sendOAuthError(reply: FastifyReply, error: OAuthError): FastifyReply {
  reply.locals.error = error.code
  reply.locals.detail = error.detail
  if (error.code === 'invalid_client') {
    // RFC 9110 section 15.5.2: a 401 MUST have a challenge.
    reply.code(401).header('www-authenticate', 'Basic realm="pawl", charset="UTF-8"')
  } else {
    reply.code(400)
  }
  return reply
    .type('application/json')
    .send(JSON.stringify({ error: error.code, error_description: error.message }))
}

/** What is said of a body that is not a plain form. */
export const NO_FORM = 'The body must be application/x-www-form-urlencoded, in UTF-8 and not compressed'

/** The faults that Fastify finds in a request before we see it, as the token endpoint words them. */
const REQUEST_FAULTS: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: NO_FORM,
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as its Content-Length says',
  FST_ERR_CTP_EMPTY_TYPE: NO_FORM,
}

export type NotFound = (request: FastifyRequest, reply: FastifyReply) => FastifyReply

/**
 * One place turns every failure into one of the two families of answers: OAuth JSON where the fault is the request's,
 * problem details where it is ours. Nothing of the request is ever echoed.
 */
export function errorHandler(log: Logger, notFound: NotFound) {
  return (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof OAuthError) return sendOAuthError(reply, error)
    if (error instanceof UnavailableError) {
      reply.locals.detail = causeOf(error)
      reply.header('retry-after', error.retryAfterSeconds)
      return sendProblem(reply, 503, error.message)
    }
    if (error instanceof ThrottledError) {
      reply.header('retry-after', error.retryAfterSeconds)
      return sendProblem(reply, 429, error.message)
    }
    const code = 'code' in error ? String(error.code) : ''
    const fault = REQUEST_FAULTS[code]
    if (fault !== undefined && request.routeOptions.config.speaksOAuth) {
      return sendOAuthError(reply, new OAuthError('invalid_request', fault))
    }
    // What is wrong with a body is of no interest where none is taken.
    if (fault !== undefined && request.is404) return notFound(request, reply)
    const status = 'statusCode' in error && error.statusCode !== undefined ? error.statusCode : 500
    if (status >= 400 && status < 500) return sendProblem(reply, status)
    log.error({ err: { name: error.name, code, stack: error.stack } }, 'unexpected failure')
    return sendProblem(reply, 500)
  }
}

function causeOf(error: Error): string {
  const { cause } = error
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message
}
