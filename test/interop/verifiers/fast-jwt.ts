import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { createVerifier, type DecodedJwt, TokenError } from 'fast-jwt'
import buildGetJwks from 'get-jwks'
import type { VerifierLibrary } from '../verifier-library.ts'

export const pemOf = (jwk: object) =>
  createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'pem' }) as string

export const fastJwt: VerifierLibrary = {
  libraries: ['fast-jwt', 'get-jwks'],

  async start(_t, issuer, audience) {
    const getJwks = buildGetJwks()
    const verify = createVerifier({
      // getPublicKey of get-jwks knows no Ed25519; Node makes the key of any of them.
      key: async ({ header: { kid, alg } }: DecodedJwt) =>
        pemOf(await getJwks.getJwk({ domain: issuer, kid, alg })),
      algorithms: ['RS256', 'ES256', 'EdDSA'],
      allowedIss: issuer,
      allowedAud: audience,
      checkTyp: 'at+jwt',
      requiredClaims: ['iss', 'aud', 'exp'],
    })
    return async (token) => {
      try {
        return await verify(token)
      } catch (error) {
        if (error instanceof TokenError) return undefined
        throw error
      }
    }
  },
}
