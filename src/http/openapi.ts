import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { VERSION } from '../version.ts'

/*
 * The schemas of the routes, from which the OpenAPI document is made. Answers are also serialised by them, so that what
 * is not declared here never leaves.
 */
const text = (description: string) => ({ type: 'string', description }) as const

const CLIENT_PARAMETERS = {
  client_id: text('who asks, where it is not in the Authorization header'),
  client_secret: text('of a confidential client that does not use the Authorization header'),
}

/** RFC 6749 section 5.2. */
const OAUTH_ERROR = {
  type: 'object',
  required: ['error', 'error_description'],
  properties: {
    error: {
      type: 'string',
      enum: [
        'invalid_request',
        'invalid_client',
        'invalid_grant',
        'unauthorized_client',
        'unsupported_grant_type',
        'unsupported_token_type',
        'invalid_scope',
      ],
    },
    error_description: text('a constant text for the developer'),
  },
} as const

/** RFC 9457. */
const PROBLEM = {
  type: 'object',
  required: ['title', 'status'],
  properties: {
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
  },
} as const

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: PROBLEM } },
})

const FAILURES = {
  400: { description: 'the request or the grant is at fault; final', ...OAUTH_ERROR },
  401: { description: 'client authentication failed', ...OAUTH_ERROR },
  429: problem('too many failures; try again after Retry-After'),
  503: problem('the server cannot answer now; keep the tokens and try again after Retry-After'),
}

const SECURITY = [{ client_secret_basic: [] }, {}]
const FORM = ['application/x-www-form-urlencoded']

export const TOKEN_SCHEMA = {
  summary: 'Token endpoint (RFC 6749 section 3.2)',
  consumes: FORM,
  security: SECURITY,
  body: {
    type: 'object',
    required: ['grant_type'],
    properties: {
      grant_type: { type: 'string', enum: ['password', 'refresh_token', 'client_credentials'] },
      ...CLIENT_PARAMETERS,
      username: text('for password'),
      password: text('for password'),
      refresh_token: text('for refresh_token'),
      scope: text(
        'scope tokens with single spaces between them; without it, all that is registered or was granted',
      ),
    },
  },
  response: {
    200: {
      description: 'the tokens (RFC 6749 section 5.1)',
      type: 'object',
      required: ['access_token', 'token_type', 'expires_in', 'scope'],
      properties: {
        access_token: text('a JWT of RFC 9068'),
        token_type: { type: 'string', enum: ['Bearer'] },
        expires_in: { type: 'integer', description: 'seconds' },
        refresh_token: text('the next one'),
        scope: { type: 'string' },
      },
    },
    ...FAILURES,
  },
}

const TOKEN_PARAMETERS = {
  token: text('an access or a refresh token'),
  token_type_hint: text('not needed'),
}

export const REVOCATION_SCHEMA = {
  summary: 'Revocation endpoint (RFC 7009)',
  consumes: FORM,
  security: SECURITY,
  body: { type: 'object', required: ['token'], properties: { ...TOKEN_PARAMETERS, ...CLIENT_PARAMETERS } },
  response: { 200: { description: 'the session is over, or the token was none', type: 'null' }, ...FAILURES },
}

export const INTROSPECTION_SCHEMA = {
  summary: 'Introspection endpoint (RFC 7662, RFC 9701)',
  consumes: FORM,
  security: SECURITY,
  body: { type: 'object', required: ['token'], properties: { ...TOKEN_PARAMETERS, ...CLIENT_PARAMETERS } },
  response: {
    200: {
      description: 'what is said of the token, as JSON or, by Accept, as a signed JWT',
      content: {
        'application/json': {
          schema: {
            type: 'object',
            required: ['active'],
            properties: { active: { type: 'boolean' } },
            // The operator's own claims among them.
            additionalProperties: true,
          },
        },
        'application/token-introspection+jwt': { schema: { type: 'string' } },
      },
    },
    ...FAILURES,
  },
}

const STILL_CURRENT = { description: 'the one that If-None-Match names is still current', type: 'null' }

const strings = { type: 'array', items: { type: 'string' } } as const

export const JWKS_SCHEMA = {
  summary: 'The public keys (RFC 7517)',
  response: {
    200: {
      description: 'every published key',
      type: 'object',
      required: ['keys'],
      properties: {
        keys: {
          type: 'array',
          items: {
            type: 'object',
            required: ['kty', 'kid', 'use', 'alg'],
            properties: Object.fromEntries(
              // By type: RSA has n and e, EC has crv, x and y, OKP has crv and x.
              ['kty', 'n', 'e', 'crv', 'x', 'y', 'kid', 'use', 'alg'].map((name) => [
                name,
                { type: 'string' },
              ]),
            ),
          },
        },
      },
    },
    304: STILL_CURRENT,
  },
}

export const METADATA_SCHEMA = {
  summary: 'Authorization server metadata (RFC 8414)',
  response: {
    200: {
      description: 'what this server is and does',
      type: 'object',
      required: ['issuer', 'token_endpoint', 'jwks_uri', 'response_types_supported'],
      properties: {
        issuer: { type: 'string' },
        token_endpoint: { type: 'string' },
        jwks_uri: { type: 'string' },
        revocation_endpoint: { type: 'string' },
        introspection_endpoint: { type: 'string' },
        scopes_supported: strings,
        response_types_supported: strings,
        grant_types_supported: strings,
        token_endpoint_auth_methods_supported: strings,
        revocation_endpoint_auth_methods_supported: strings,
        introspection_endpoint_auth_methods_supported: strings,
        introspection_signing_alg_values_supported: strings,
        subject_types_supported: strings,
        id_token_signing_alg_values_supported: strings,
      },
    },
    304: STILL_CURRENT,
  },
}

/** Collects the routes registered from now on into an OpenAPI 3.1 document, which `app.swagger()` then gives. */
export async function describeRoutes(app: FastifyInstance, issuer: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Pawl', description: 'An OAuth 2 authorization server', version: VERSION },
      servers: [{ url: new URL(issuer).origin }],
      components: { securitySchemes: { client_secret_basic: { type: 'http', scheme: 'basic' } } },
    },
  })
}
