import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import express from 'express'
import { expressjwt, type Request } from 'express-jwt'
import jwksRsa, { type GetVerificationKey } from 'jwks-rsa'
import { freePort } from '../../support/free-port.ts'
import { type VerifierLibrary, verifyBy } from '../verifier-library.ts'

export const expressJwt: VerifierLibrary = {
  libraries: ['express-jwt', 'jwks-rsa', 'express'],
  // jsonwebtoken, by which express-jwt verifies, does not know it.
  cannot: ['EdDSA'],

  async start(t, issuer, audience) {
    const app = express()
    const authenticate = expressjwt({
      secret: jwksRsa.expressJwtSecret({ jwksUri: `${issuer}/.well-known/jwks.json` }) as GetVerificationKey,
      algorithms: ['RS256', 'ES256'],
      issuer,
      audience,
      // The one place where it shows the header of a token that it has verified.
      isRevoked: (_request, token) => token?.header.typ !== 'at+jwt',
    })
    app.get('/', authenticate, (request: Request, response: { json(value: unknown): void }) =>
      response.json(request.auth),
    )
    // Express knows an error handler by its four parameters.
    app.use((error: { status?: number }, _request: unknown, response: ServerResponse, _next: unknown) => {
      response.statusCode = error.status ?? 500
      response.end()
    })
    const port = await freePort()
    const server = app.listen(port, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return verifyBy(`http://127.0.0.1:${port}/`)
  },
}
