import fastifyJwt from '@fastify/jwt'
import fastify from 'fastify'
import buildGetJwks from 'get-jwks'
import { freePort } from '../../support/free-port.ts'
import { type VerifierLibrary, verifyBy } from '../verifier-library.ts'
import { pemOf } from './fast-jwt.ts'

export const fastifyJwtPlugin: VerifierLibrary = {
  libraries: ['@fastify/jwt', 'get-jwks', 'fastify'],

  async start(t, issuer, audience) {
    const getJwks = buildGetJwks()
    // With `complete` the plugin hands over the whole decoded token, which its type does not know.
    async function publicKey(_request: unknown, token: unknown): Promise<string> {
      const { kid, alg } = (token as { header: { kid: string; alg: string } }).header
      return pemOf(await getJwks.getJwk({ domain: issuer, kid, alg }))
    }

    const app = fastify()
    t.teardown(() => app.close())
    await app.register(fastifyJwt, {
      decode: { complete: true },
      secret: publicKey,
      verify: {
        algorithms: ['RS256', 'ES256', 'EdDSA'],
        allowedIss: issuer,
        allowedAud: audience,
        checkTyp: 'at+jwt',
        requiredClaims: ['iss', 'aud', 'exp'],
      },
    })
    app.addHook('onRequest', async (request, reply) => {
      try {
        await request.jwtVerify()
      } catch (error) {
        // The plugin words some refusals itself, as 401; these it lets through, and Fastify takes them for a 500.
        const { code = '' } = error as { code?: string }
        if (code.startsWith('FAST_JWT_') || code === 'JWK_NOT_FOUND') return reply.code(401).send()
        throw error
      }
    })
    app.get('/', async (request) => request.user)
    const port = await freePort()
    await app.listen({ port, host: '127.0.0.1' })
    return verifyBy(`http://127.0.0.1:${port}/`)
  },
}
