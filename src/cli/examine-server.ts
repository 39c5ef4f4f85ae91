import type { Config } from '../config/config.ts'
import { loadKeys } from '../keys/key-files.ts'
import { type Finding, findingsOf } from '../stores/finding.ts'

const TIME_LIMIT_MS = 5000

/** Looks whether the issuer's metadata (RFC 8414) and keys can be had below this URL, and are these. */
export async function examineServer(
  { issuer, keysDir, signingAlgs }: Config,
  url: string,
): Promise<Finding[]> {
  const { ok, fault } = findingsOf('--url')
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  const { origin } = new URL(url)
  const metadataUrl = `${origin}/.well-known/oauth-authorization-server${path}`
  try {
    const metadata = (await readJson(metadataUrl)) as { issuer?: unknown }
    if (metadata.issuer !== issuer) {
      return [
        fault(
          `${metadataUrl} is of another issuer than ISSUER`,
          `Give the server there ISSUER=${issuer}, or name another URL.`,
        ),
      ]
    }
    const { signing } = await loadKeys(keysDir, signingAlgs)
    const jwksUrl = `${origin}${path}/.well-known/jwks.json`
    const { keys = [] } = (await readJson(jwksUrl)) as { keys?: { kid?: unknown }[] }
    const isPublished = keys.some(({ kid }) => kid === signing.active.kid)
    return [
      ok(`${metadataUrl} is the issuer’s`),
      isPublished
        ? ok(`${jwksUrl} has the key that signs`)
        : fault(
            `${jwksUrl} does not have the key ${signing.active.kid}, which signs by KEYS_DIR`,
            'Give every server the same KEYS_DIR, and restart those that have not read it.',
          ),
    ]
  } catch (error) {
    const { message, cause } = error as Error
    return [
      fault(
        `${origin} does not answer as it should: ${cause instanceof Error ? cause.message : message}`,
        'Start the server, or see what stands in front of it.',
      ),
    ]
  }
}

async function readJson(url: string): Promise<unknown> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIME_LIMIT_MS) })
  if (response.status !== 200) throw new Error(`${url} answers ${response.status}`)
  return response.json()
}
