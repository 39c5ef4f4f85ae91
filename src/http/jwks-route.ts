import { hash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { SigningKeys } from '../tokens/signing-key.ts'

/** `GET /.well-known/jwks.json` (RFC 7517 section 5): every published key, for any resource server to cache. */
export async function jwksRoute(app: FastifyInstance, { signing }: { signing: SigningKeys }): Promise<void> {
  const body = JSON.stringify({ keys: signing.published.map(({ publicJwk }) => publicJwk) })
  const etag = `"${hash('sha256', body, 'base64url')}"`

  app.get('/.well-known/jwks.json', async (request, reply) => {
    reply.headers({
      'cache-control': 'public, max-age=600',
      etag,
      'access-control-allow-origin': '*',
    })
    const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
    if (known?.some((tag) => tag === etag || tag === '*')) return reply.code(304).send()
    return reply.type('application/json').send(body)
  })
}
