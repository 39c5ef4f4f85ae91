import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GRANT_TYPES } from '../accounts/client.ts'
import { JWKS_MAX_AGE } from '../tokens/key-ring.ts'
import type { SigningKey, SigningKeys } from '../tokens/signing-key.ts'
import { JWKS_SCHEMA, METADATA_SCHEMA } from './openapi.ts'
import type { Registrations } from './registrations.ts'

interface Options {
  readonly issuer: string
  readonly signing: SigningKeys
  readonly registrations: Registrations
}

/** Resource servers and clients may go by these for ten minutes; a new key is published longer than that before it signs. */
const CACHED = { 'cache-control': `public, max-age=${JWKS_MAX_AGE}`, 'access-control-allow-origin': '*' }

const JWKS_PATH = '/.well-known/jwks.json'
const METADATA_PATHS = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']

/** What anybody may read, under the issuer: the keys (RFC 7517) and the metadata (RFC 8414). */
export async function discoveryRoutes(
  app: FastifyInstance,
  { issuer, signing, registrations }: Options,
): Promise<void> {
  const path = pathOf(issuer)
  // Made once for each set of keys: the ring changes while the server runs.
  const documents = new WeakMap<readonly SigningKey[], Cacheable>()
  app.get(`${path}${JWKS_PATH}`, { schema: JWKS_SCHEMA }, async (request, reply) => {
    const { published } = signing
    const jwks =
      documents.get(published) ??
      cacheable(JSON.stringify({ keys: published.map(({ publicJwk }) => publicJwk) }))
    documents.set(published, jwks)
    return sendCacheable(request, reply, jwks)
  })

  // For an issuer with a path, RFC 8414 section 3.1 inserts the well-known part before it, OpenID Connect appends it.
  const urls = METADATA_PATHS.flatMap((wellKnown) => [`${wellKnown}${path}`, `${path}${wellKnown}`])
  for (const url of new Set(urls)) {
    app.get(url, { schema: METADATA_SCHEMA }, async (request, reply) =>
      sendCacheable(
        request,
        reply,
        cacheable(JSON.stringify(metadataOf(issuer, await registrations.scopes(), signing.algorithms))),
      ),
    )
  }
}

/** The issuer's path, under which everything of it lives; empty for the root. */
export function pathOf(issuer: string): string {
  return new URL(issuer).pathname.replace(/\/$/, '')
}

/** The metadata document (RFC 8414 section 2): what is implemented, and nothing that is not. */
function metadataOf(issuer: string, scopes: readonly string[], algorithms: readonly string[]): object {
  const secrets = ['client_secret_basic', 'client_secret_post']
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}${JWKS_PATH}`,
    revocation_endpoint: `${issuer}/revoke`,
    introspection_endpoint: `${issuer}/introspect`,
    ...(scopes.length > 0 && { scopes_supported: scopes }),
    // Required, and empty: there is no authorization endpoint.
    response_types_supported: [],
    grant_types_supported: GRANT_TYPES,
    token_endpoint_auth_methods_supported: [...secrets, 'none'],
    revocation_endpoint_auth_methods_supported: [...secrets, 'none'],
    introspection_endpoint_auth_methods_supported: secrets,
    introspection_signing_alg_values_supported: algorithms,
    // Discoverers that know only OpenID Connect insist on these two.
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: algorithms,
  }
}

interface Cacheable {
  readonly body: string
  readonly etag: string
}

const cacheable = (body: string): Cacheable => ({ body, etag: `"${hash('sha256', body, 'base64url')}"` })

function sendCacheable(
  request: FastifyRequest,
  reply: FastifyReply,
  { body, etag }: Cacheable,
): FastifyReply {
  reply.headers({ ...CACHED, etag })
  const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known?.some((tag) => tag === etag || tag === '*')) return reply.code(304).send()
  return reply.type('application/json').send(body)
}
