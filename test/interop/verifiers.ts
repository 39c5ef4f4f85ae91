import { type Test, test } from 'tap'
import { type Did, newRow, type Row } from './matrix.ts'
import { API, prepare } from './setting.ts'
import { makeTrialTokens, type TrialTokens } from './trial-tokens.ts'
import type { VerifierLibrary } from './verifier-library.ts'
import { expressJwt } from './verifiers/express-jwt.ts'
import { fastJwt } from './verifiers/fast-jwt.ts'
import { fastifyJwtPlugin } from './verifiers/fastify-jwt.ts'
import { jose } from './verifiers/jose.ts'

/** Every verifier with every kind of token; what store is behind the server is nothing to them. */
export function exerciseVerifiers(): Row[] {
  const parts = [jose, expressJwt, fastJwt, fastifyJwtPlugin].map((library) => ({
    library,
    row: newRow(library.libraries),
  }))
  test('verifiers', async (t) => {
    const setting = await prepare(t, 'lmdb')
    const tokens = await makeTrialTokens(setting)
    for (const { library, row } of parts) {
      await row.exercise(t, 'tokens', (t, did) => trial(t, did, library, setting.issuer, tokens))
    }
  })
  return parts.map(({ row }) => row)
}

async function trial(
  t: Test,
  did: Did,
  library: VerifierLibrary,
  issuer: string,
  { accepted, refused }: TrialTokens,
): Promise<void> {
  const verify = await library.start(t, issuer, API)
  for (const [feature, tokens] of Object.entries(accepted)) {
    for (const [kind, token] of Object.entries(tokens)) {
      if (library.cannot?.includes(feature)) {
        t.equal(await verify(token).catch(() => undefined), undefined, `cannot: ${kind}`)
        continue
      }
      t.match(await verify(token), { iss: issuer, scope: 'read write' }, kind)
    }
    did(library.cannot?.includes(feature) ? `cannot ${feature}` : feature)
  }
  for (const [feature, tokens] of Object.entries(refused)) {
    for (const [kind, token] of Object.entries(tokens)) {
      t.equal(await verify(token), undefined, `refuses ${kind}`)
    }
    did(`refuses ${feature}`)
  }
}
