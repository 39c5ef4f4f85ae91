import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'
import type { RequestNotes, TokenServices } from '../grants/grant.ts'
import { requestToken } from '../grants/token-endpoint.ts'
import { EMPTY_FORM, type Form, parseForm } from '../oauth/form.ts'
import { senderOf } from './sender.ts'

/** Room for the longest honest request many times over. */
const BODY_LIMIT = 16 * 1024

// RFC 6749 section 5.1. Fastify strips what is not declared here.
const TOKEN_RESPONSE = {
  type: 'object',
  required: ['access_token', 'token_type', 'expires_in', 'scope'],
  properties: {
    access_token: { type: 'string' },
    token_type: { type: 'string' },
    expires_in: { type: 'integer' },
    refresh_token: { type: 'string' },
    scope: { type: 'string' },
  },
} as const

/** `POST /token` (RFC 6749 section 3.2): nothing but form data is understood. */
export async function tokenRoute(
  app: FastifyInstance,
  { services }: { services: TokenServices },
): Promise<void> {
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: BODY_LIMIT, parser: parseForm as never })

  app.addHook('onRequest', async (_request, reply) => {
    // RFC 6749 section 5.1; here, so that errors have it as well.
    reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
  })

  app.route<{ Body: Form | undefined }>({
    method: 'POST',
    url: '/token',
    bodyLimit: BODY_LIMIT,
    config: { speaksOAuth: true },
    schema: { response: { 200: TOKEN_RESPONSE } },
    async handler(request, reply) {
      const notes: RequestNotes = {}
      reply.locals.notes = notes
      return requestToken(services, {
        form: request.body ?? EMPTY_FORM,
        authorization: request.headers.authorization,
        sender: senderOf(request),
        notes,
      })
    },
  })
}
