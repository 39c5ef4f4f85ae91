import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import type { VerifierLibrary } from '../verifier-library.ts'

export const jose: VerifierLibrary = {
  libraries: ['jose'],

  async start(_t, issuer, audience) {
    const jwks = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
    return async (token) => {
      try {
        const { payload } = await jwtVerify(token, jwks, {
          issuer,
          audience,
          typ: 'at+jwt',
          algorithms: ['RS256', 'ES256', 'EdDSA'],
        })
        return payload
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined
        throw error
      }
    }
  },
}
