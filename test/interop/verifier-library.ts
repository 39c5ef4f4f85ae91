import type { Test } from 'tap'
import { ask } from '../support/http-client.ts'

/** @returns the token's claims, or undefined when it is refused. @throws Error for any other trouble. */
export type Verify = (token: string) => Promise<Readonly<Record<string, unknown>> | undefined>

/** One way to verify access tokens. Its file is all that is particular to it. */
export interface VerifierLibrary {
  /** The npm packages that do it together. */
  readonly libraries: readonly string[]
  /** The algorithms of tokens that it cannot verify. */
  readonly cannot?: readonly string[]
  /** Sets up a resource server for this audience; what it opens ends with the test. */
  start(t: Test, issuer: string, audience: string): Promise<Verify>
}

/** Verifies by asking a resource server, which answers with the claims or 401 (RFC 6750 section 3.1). */
export function verifyBy(url: string): Verify {
  return async (token) => {
    const answer = await ask(url, { headers: { authorization: `Bearer ${token}` } })
    if (answer.status === 401) return undefined
    if (answer.status !== 200) throw new Error(`the resource server answers ${answer.status}: ${answer.text}`)
    return answer.json
  }
}
