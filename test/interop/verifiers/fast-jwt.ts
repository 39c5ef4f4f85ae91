import { createVerifier, type DecodedJwt, TokenError } from 'fast-jwt'
import buildGetJwks from 'get-jwks'
import type { VerifierLibrary } from '../verifier-library.ts'

export const fastJwt: VerifierLibrary = {
  libraries: ['fast-jwt', 'get-jwks'],

  async start(_t, issuer, audience) {
    const getJwks = buildGetJwks()
    const verify = createVerifier({
      key: async ({ header: { kid, alg } }: DecodedJwt) => getJwks.getPublicKey({ domain: issuer, kid, alg }),
      algorithms: ['RS256'],
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
