import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { claimsOf } from '../support/http-client.ts'
import type { AuthMethod, ClientLibrary, LibraryError } from './client-library.ts'
import type { Did } from './matrix.ts'
import { API, type Setting, USER } from './setting.ts'

const MOST_TIMES = 30

/** All that a client does from its first sign-in to its last sign-out, as far as the library offers it. */
export async function clientStory(
  t: Test,
  did: Did,
  library: ClientLibrary,
  { issuer, sub, client: clientBy, api: apiBy }: Setting,
  method: AuthMethod,
): Promise<void> {
  const { connect } = library
  const identity = clientBy(method)
  const client = await connect(identity)
  if ('discovered' in client) {
    t.equal(client.discovered, issuer, 'discovery')
    did('discovery')
  }

  const signIn = (password: string) => withTime(library, () => client.password(USER.username, password))
  const first = await signIn(USER.password)
  const claims = claimsOf(first.access_token)
  t.match(claims, { iss: issuer, sub, aud: API, client_id: identity.clientId, scope: 'read write' })
  t.equal(first.scope, 'read write', 'sign-in')
  const wrong = await errorOfRejected(library, signIn('wrong'))
  t.strictSame(wrong, { status: 400, code: 'invalid_grant' }, 'a wrong password')
  did('password')

  const second = await client.refresh(first)
  t.not(second.refresh_token, first.refresh_token, 'a refresh rotates')
  t.equal(claimsOf(second.access_token).sid, claims.sid)
  const repeat = await client.refresh(first)
  t.equal(repeat.refresh_token, second.refresh_token, 'a repeat gets the same successor')
  const narrowed = await client.refresh(second, 'read')
  t.equal(narrowed.scope, 'read', 'narrowed')
  const third = await client.refresh(narrowed)
  t.equal(third.scope, 'read write', 'and the whole grant again')
  did('refresh')

  if (method !== 'none') {
    const own = await client.clientCredentials()
    t.match(claimsOf(own.access_token), { iss: issuer, sub: identity.clientId, aud: API })
    t.notOk(own.refresh_token, 'no refresh token')
    did('client credentials')
  }

  // A public client cannot introspect; the resource server does.
  const api = await connect(apiBy(method === 'none' ? 'client_secret_basic' : method))
  if (api.introspect) {
    const said = await api.introspect(third.access_token)
    t.match(said, { active: true, sub, client_id: identity.clientId, aud: API, scope: 'read write' })
    did('introspection')
  }
  if (api.introspectSigned) {
    const said = await api.introspectSigned(third.access_token)
    t.match(said, { active: true, sub, client_id: identity.clientId })
    did('introspection by RFC 9701')
  }

  await client.revoke(third, 'refresh_token')
  const ended = await errorOfRejected(library, client.refresh(third))
  t.strictSame(ended, { status: 400, code: 'invalid_grant' }, 'revoked')
  if (api.introspect) t.strictSame(await api.introspect(third.access_token), { active: false })
  const other = await signIn(USER.password)
  await client.revoke(other, 'access_token')
  t.match(await errorOfRejected(library, client.refresh(other)), { code: 'invalid_grant' }, 'by access token')
  did('revocation')

  if (method !== 'none') {
    const impostor = await connect({ ...identity, secret: 'not the secret' })
    const { status, code = 'invalid_client' } = await errorOfRejected(library, impostor.clientCredentials())
    t.strictSame({ status, code }, { status: 401, code: 'invalid_client' }, 'a wrong secret')
  }
  did(method)
}

/** Asks again while a busy machine has no time for the password, as good clients do. */
async function withTime<T>({ errorOf }: ClientLibrary, ask: () => Promise<T>): Promise<T> {
  for (let left = MOST_TIMES; ; left -= 1) {
    try {
      return await ask()
    } catch (error) {
      if (left === 0 || errorOf(error).status !== 503) throw error
      await sleep(1000)
    }
  }
}

/** What the library makes of the refusal. @throws Error when there is none. */
export function errorOfRejected({ errorOf }: ClientLibrary, answer: Promise<unknown>): Promise<LibraryError> {
  return answer.then(() => {
    throw new Error('the library reports no error')
  }, errorOf)
}
