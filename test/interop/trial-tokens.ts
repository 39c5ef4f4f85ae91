import { createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeProtectedHeader, SignJWT, UnsecuredJWT } from 'jose'
import { ensureKeys } from '../../src/keys/key-files.ts'
import { SIGNING_ALGS } from '../../src/tokens/signing-key.ts'
import { ask, basic, claimsOf, postForm, signIn } from '../support/http-client.ts'
import { freePort } from '../support/processes.ts'
import { API, type Setting, USER } from './setting.ts'

type Tokens = Readonly<Record<string, string>>

/** What to try a resource server with that is the audience `API`: tokens by what they show, and by what each is. */
export interface TrialTokens {
  readonly accepted: Readonly<Record<string, Tokens>>
  readonly refused: Readonly<Record<string, Tokens>>
}

/** Has the tokens made under two keys, one after the other. */
export async function makeTrialTokens({ deployment, issuer, api }: Setting): Promise<TrialTokens> {
  // All at once, as on a first start with every algorithm.
  await ensureKeys(String(deployment.env.KEYS_DIR), SIGNING_ALGS)
  const second = JSON.parse((await deployment.cli(['keys', 'generate', '--json'])).stdout)
  const offered = { SIGNING_ALG: SIGNING_ALGS.join() }
  const { url } = await deployment.startServer(offered)

  const scopes = ['read', 'write']
  await deployment.addClient('several', { scopes, audiences: ['https://elsewhere.example', API] })
  await deployment.addClient('elsewhere', { scopes, audiences: ['https://elsewhere.example'] })
  await deployment.addClient('brief', { scopes, audiences: [API], accessTokenTtl: 1 })
  for (const signingAlg of ['ES256', 'EdDSA'] as const)
    await deployment.addClient(signingAlg, { scopes, audiences: [API], signingAlg })
  const tokensFor = (client_id: string, server = url) => signIn(server, { client_id, ...USER })
  const signedWith = async (alg: 'ES256' | 'EdDSA') => {
    const { access_token: token } = await tokensFor(alg)
    const { alg: signed } = decodeProtectedHeader(token)
    if (signed !== alg) throw new Error(`a token for ${alg} is signed with ${signed}`)
    return token
  }
  const severalAudiences = await tokensFor('several')

  const { access_token: good, refresh_token } = await tokensFor('app')
  const { access_token: brief } = await tokensFor('brief')
  const introspection = await postForm(
    `${url}/introspect`,
    { token: good },
    { ...basic(API, api('client_secret_basic').secret), accept: 'application/token-introspection+jwt' },
  )
  await deployment.cli(['keys', 'promote', second.id, '--force'])
  const later = await deployment.startServer({ ...offered, PORT: String(await freePort()) })
  const accepted = {
    good: { 'for one audience': good, 'for several': severalAudiences.access_token },
    ES256: { 'signed with ES256': await signedWith('ES256') },
    EdDSA: { 'signed with EdDSA': await signedWith('EdDSA') },
    'second key': { 'by the second key': (await tokensFor('app', later.url)).access_token },
  }
  const refused = {
    expired: { expired: brief },
    'other audience': { 'for another audience': (await tokensFor('elsewhere')).access_token },
    tampered: await forgeries(issuer, good),
    'other kind': { 'an introspection response': introspection.text, 'a refresh token': refresh_token },
  }
  await sleep(1000 * (Number(claimsOf(brief).exp) + 1) - Date.now())
  return { accepted, refused }
}

/** What those who have no key of ours can make of a good token. */
async function forgeries(issuer: string, good: string): Promise<Tokens> {
  const [header = '', payload = '', signature = ''] = good.split('.')
  const more = { ...claimsOf(good), scope: 'read write admin' }
  const changed = Buffer.from(JSON.stringify(more)).toString('base64url')
  const { kid = '' } = decodeProtectedHeader(good)

  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const signed = (kid: string) =>
    new SignJWT(more).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid }).sign(stranger)

  // The public key taken for the secret of an HMAC: what a verifier falls for that lets the token choose the algorithm.
  const { json } = await ask(`${issuer}/.well-known/jwks.json`)
  const { keys } = json as { keys: JsonWebKey[] }
  const jwk = keys.find((key) => key.kid === kid) as JsonWebKey
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
  const symmetric = new SignJWT(more).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid })

  return {
    'other claims': [header, changed, signature].join('.'),
    'another signature': [header, payload, signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))].join('.'),
    'no signature': [header, payload, ''].join('.'),
    'alg none': new UnsecuredJWT(more).encode(),
    'a stranger’s key, our kid': await signed(kid),
    'a stranger’s key, its own kid': await signed('unknown'),
    'HS256 with our public key': await symmetric.sign(Buffer.from(pem)),
  }
}
