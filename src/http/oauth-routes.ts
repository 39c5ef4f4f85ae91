import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { introspectToken, signIntrospection } from '../endpoints/introspection.ts'
import { revokeToken } from '../endpoints/revocation.ts'
import { requestToken } from '../endpoints/token.ts'
import type { RequestNotes, TokenServices } from '../grants/grant.ts'
import { OAuthError } from '../oauth/errors.ts'
import { EMPTY_FORM, type Form, parseForm } from '../oauth/form.ts'
import { allowOrigins } from './cors.ts'
import { NO_FORM } from './errors.ts'
import { INTROSPECTION_SCHEMA, REVOCATION_SCHEMA, TOKEN_SCHEMA } from './openapi.ts'
import type { Registrations } from './registrations.ts'
import { networkOf, senderOf } from './sender.ts'

/** Room for the longest honest request many times over. */
const BODY_LIMIT = 16 * 1024

const INTROSPECTION_JWT = 'application/token-introspection+jwt'

interface Options {
  readonly services: TokenServices
  readonly registrations: Registrations
}

/** The endpoints that clients post forms to; nothing but form data is understood. */
export async function oauthRoutes(app: FastifyInstance, { services, registrations }: Options): Promise<void> {
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: BODY_LIMIT, parser: parseForm as never })
  // The schemas of requests are for people to read; what holds is the form's own parser and the endpoint.
  app.setValidatorCompiler(() => () => true)

  app.addHook('onRequest', (_request, reply, done) => {
    // RFC 6749 section 5.1; here, so that errors have it as well.
    reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    done()
  })
  allowOrigins(app, {
    methods: ['POST'],
    paths: ['/token', '/revoke'],
    isRegistered: registrations.hasOrigin,
  })

  app.post('/token', { config: { speaksOAuth: true }, schema: TOKEN_SCHEMA }, (request, reply) =>
    requestToken(services, clientRequest(request, reply)),
  )

  app.post(
    '/revoke',
    { config: { speaksOAuth: true }, schema: REVOCATION_SCHEMA },
    async (request, reply) => {
      await revokeToken(services, clientRequest(request, reply))
      return reply.code(200).send()
    },
  )

  app.post(
    '/introspect',
    { config: { speaksOAuth: true }, schema: INTROSPECTION_SCHEMA },
    async (request, reply) => {
      const { caller, introspection } = await introspectToken(services, clientRequest(request, reply))
      if (!request.headers.accept?.toLowerCase().includes(INTROSPECTION_JWT)) return introspection
      return reply.type(INTROSPECTION_JWT).send(await signIntrospection(services, caller, introspection))
    },
  )
}

// RFC 6749 appendix B: the charset is UTF-8, and there is no other.
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i

/** What the endpoints take of a request. @throws {OAuthError} `invalid_request` for what is no plain form. */
function clientRequest(request: FastifyRequest, reply: FastifyReply) {
  const { headers } = request
  const encoding = headers['content-encoding'] ?? 'identity'
  if (!FORM_TYPE.test(headers['content-type'] ?? '') || encoding.toLowerCase() !== 'identity') {
    throw new OAuthError('invalid_request', NO_FORM)
  }
  // Node keeps the first of several, and the others would never be looked at.
  if (headers.authorization !== undefined && (request.raw.headersDistinct.authorization?.length ?? 0) > 1) {
    throw new OAuthError('invalid_request', 'There is more than one Authorization header')
  }
  const notes: RequestNotes = {}
  reply.locals.notes = notes
  return {
    form: (request.body as Form | undefined) ?? EMPTY_FORM,
    authorization: headers.authorization,
    sender: senderOf(request),
    prefix: () => networkOf(request.ip, 64),
    notes,
  }
}
