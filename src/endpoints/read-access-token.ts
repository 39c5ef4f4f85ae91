import type { TokenServices } from '../grants/grant.ts'
import { type VerifiedAccessToken, verifyAccessToken } from '../tokens/access-token.ts'

/** An access token of ours whose time is not over, or `undefined` for any other text. */
export async function readAccessToken(
  { signing, settings }: TokenServices,
  text: string,
): Promise<VerifiedAccessToken | undefined> {
  try {
    return await verifyAccessToken(signing, settings.issuer, text)
  } catch {
    return undefined
  }
}
