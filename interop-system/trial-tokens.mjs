// What to try a resource server with.
import { createPublicKey } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt, decodeProtectedHeader, SignJWT, UnsecuredJWT } from 'jose'

/** Posts a form; a confidential client's credentials go by Basic. @throws Error unless the answer is 200 */
export async function post(url, form, { client_id, client_secret } = {}, headers = {}) {
  const authorization = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...headers, ...(client_secret !== undefined && { authorization }) },
    body: new URLSearchParams(form),
  })
  if (response.status !== 200) throw new Error(`POST ${url}: ${response.status} ${await response.text()}`)
  return response.text()
}

/** Signs the user in. */
export async function signIn({ user }, url, client_id) {
  return JSON.parse(await post(`${url}/token`, { grant_type: 'password', client_id, ...user }))
}

/** A good token of the server at `url`, and bad ones: by what they show, and by what each is. */
export async function makeTrialTokens(deployment, url, otherUrl) {
  const { access_token: brief } = await signIn(deployment, url, 'brief')
  const { access_token: good, refresh_token } = await signIn(deployment, url, 'app')
  const introspection = await post(`${url}/introspect`, { token: good }, deployment.api, {
    accept: 'application/token-introspection+jwt',
  })
  const bad = {
    expired: { expired: brief },
    'other audience': { 'for another audience': (await signIn(deployment, url, 'elsewhere')).access_token },
    // The two servers have the same keys.
    'other issuer': { 'of another issuer': (await signIn(deployment, otherUrl, 'app')).access_token },
    tampered: await forgeries(url, good),
    'other kind': { 'an introspection response': introspection, 'a refresh token': refresh_token },
  }
  await sleep(1000 * (decodeJwt(brief).exp + 1) - Date.now())
  return { good, bad }
}

/** What those who have no key of ours can make of a good token. */
async function forgeries(url, good) {
  const [header, , signature] = good.split('.')
  const more = { ...decodeJwt(good), scope: 'read write admin' }
  const { kid } = decodeProtectedHeader(good)
  // The public key taken for the secret of an HMAC: what a verifier falls for that lets the token choose the algorithm.
  const { keys } = await (await fetch(`${url}/.well-known/jwks.json`)).json()
  const pem = createPublicKey({ key: keys.find((key) => key.kid === kid), format: 'jwk' }).export({
    type: 'spki',
    format: 'pem',
  })
  const symmetric = new SignJWT(more).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid })
  return {
    'other claims': [header, Buffer.from(JSON.stringify(more)).toString('base64url'), signature].join('.'),
    'alg none': new UnsecuredJWT(more).encode(),
    'HS256 with our public key': await symmetric.sign(Buffer.from(pem)),
  }
}
