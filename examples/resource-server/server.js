/**
 * A resource server: an API that trusts an access token because it checks it itself, against the keys
 * that the issuer publishes. It never asks the issuer about a token.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

const {
  ISSUER = 'http://localhost:9000',
  AUDIENCE = ISSUER,
  JWKS_URI = `${ISSUER}/.well-known/jwks.json`,
  HOST = '127.0.0.1',
  PORT = '9100',
} = process.env

const hello = (claims) => ({
  sub: claims.sub,
  client_id: claims.client_id,
  scope: claims.scope,
  expires_in: claims.exp - Math.floor(Date.now() / 1000),
})

const routes = {
  '/hello': { handle: hello },
  '/admin': { handle: hello, scope: 'admin' },
}

const jwks = createRemoteJWKSet(new URL(JWKS_URI))

class KeysUnavailable extends Error {}

/** The key that a token names. That the keys cannot be fetched says nothing against the token. */
async function publishedKey(header, token) {
  try {
    return await jwks(header, token)
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
      throw error
    throw new KeysUnavailable(`no keys from ${JWKS_URI}`, { cause: error })
  }
}

/** The claims of a valid access token (RFC 9068 section 4); throws a JOSEError when it is not one. */
async function verify(token) {
  const { payload } = await jwtVerify(token, publishedKey, {
    issuer: ISSUER,
    audience: AUDIENCE,
    typ: 'at+jwt', // or any other JWT that the issuer signs, an ID token say, would open this API
    algorithms: ['RS256', 'ES256', 'EdDSA'], // what the issuer may sign with; never a list that a token brings along
    requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
    clockTolerance: 0, // seconds; a few where the clocks of issuer and API drift apart
  })
  return payload
}

const json = (status, body) => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

const problem = (status, title, headers) => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  body: JSON.stringify({ title, status }),
})

// RFC 6750 section 3. The texts are constants: nothing that the request said is said back.
const tokenRequired = () =>
  problem(401, 'An access token is required', { 'www-authenticate': 'Bearer realm="example"' })

const invalidToken = (description) =>
  problem(401, description, {
    'www-authenticate': `Bearer error="invalid_token", error_description="${description}"`,
  })

const insufficientScope = (scope) =>
  problem(403, 'The access token lacks a scope', {
    'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"`,
  })

async function answer({ method, url, headers }) {
  const path = url.split('?', 1)[0]
  if (!Object.hasOwn(routes, path)) return problem(404, 'Not found')
  if (method !== 'GET') return problem(405, 'Method not allowed', { allow: 'GET' })

  const token = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]
  if (!token) return tokenRequired()

  const { handle, scope } = routes[path]
  const claims = await verify(token)
  if (scope && !claims.scope?.split(' ').includes(scope)) return insufficientScope(scope)
  return json(200, handle(claims))
}

function refusal(error) {
  if (error instanceof errors.JWTExpired) return invalidToken('The access token has expired')
  if (error instanceof errors.JOSEError) return invalidToken('The access token is not valid')
  console.error(error)
  // Never 401 for a trouble of our own: it would make the client throw a good token away.
  if (error instanceof KeysUnavailable) return problem(503, 'Try again later', { 'retry-after': '5' })
  return problem(500, 'Internal error')
}

const server = createServer(async (request, response) => {
  const { status, headers, body } = await answer(request).catch(refusal)
  response.writeHead(status, headers).end(body)
})

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close())

await once(server.listen(Number(PORT), HOST), 'listening')
console.log(`listening on http://${HOST}:${server.address().port}`)
