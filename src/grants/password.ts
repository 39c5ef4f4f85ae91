import { isDeepStrictEqual } from 'node:util'
import type { Client } from '../accounts/client.ts'
import { userLocator } from '../accounts/user.ts'
import { OAuthError, UnavailableError } from '../oauth/errors.ts'
import { isWithin } from '../oauth/scope.ts'
import type { ClientStore } from '../stores/contract.ts'
import { familyIdOf, newHandle } from '../tokens/refresh-token.ts'
import { audienceOf, type Grant } from './grant.ts'
import { guardSignIn } from './guard-sign-in.ts'
import { accountChanged } from './verified-user.ts'
import { verifyUser } from './verify-user.ts'

/**
 * The resource owner password credentials grant (RFC 6749 section 4.3).
 *
 * Whatever is wrong with the name or the password, the answer and the work behind it are the same.
 */
export const passwordGrant: Grant = async (services, { client, form, scope, sender, prefix, notes }) => {
  const { store, settings, audit } = services
  const username = form.values.get('username')
  const password = form.values.get('password')
  if (username === undefined || password === undefined) {
    throw new OAuthError('invalid_request', 'The username or the password is missing')
  }
  if (scope && !isWithin(scope, client.scopes)) {
    throw new OAuthError('invalid_scope', 'The scope is beyond what the client may ask for')
  }
  // Where every user needs a hash, a flood is refused before it costs anybody a look at the store.
  if (!services.verifyWebhook) services.passwords.requireRoom()
  const refused = (reason: string, sub?: string) => {
    audit({ event: 'sign_in.failed', client_id: client.clientId, ...(sub && { sub }), reason, ...sender })
    return new OAuthError('invalid_grant', 'The username or the password is wrong', reason)
  }

  const onThrottled = (reason: string) =>
    audit({ event: 'sign_in.throttled', client_id: client.clientId, reason, ...sender })
  const attempt = { username, prefix: prefix(), network: sender.network, onThrottled }
  return guardSignIn(services, attempt, async () => {
    const verified = await verifyUser(services, { username, password, clientId: client.clientId })
    if ('refused' in verified) throw refused(verified.refused, verified.sub)
    const { user } = verified
    await requireUnchanged(store.clients, client)

    const handle = newHandle(userLocator(user.sub))
    const sid = familyIdOf(handle)
    const mayRefresh = client.grants.includes('refresh_token')
    // A session that cannot be refreshed is over with its access token.
    const lifetimeMs = 1000 * (client.accessTokenTtl ?? settings.accessTokenTtl)
    const granted = {
      scope: scope ?? client.scopes,
      audience: audienceOf(client, settings),
    }
    const begun = await store.families.create({
      id: sid,
      clientId: client.clientId,
      clientEpoch: client.epoch,
      userEpoch: user.epoch,
      ...granted,
      sender,
      idleMs: mayRefresh ? 1000 * (client.refreshTokenIdleTtl ?? settings.refreshTokenIdleTtl) : lifetimeMs,
      maxMs: mayRefresh ? 1000 * (client.refreshTokenMaxTtl ?? settings.refreshTokenMaxTtl) : lifetimeMs,
      // Nor does it end one that can be.
      isBrief: !mayRefresh,
      maxSessions: settings.maxSessionsPerUser,
    })
    if (!begun) throw accountChanged()

    notes.sid = sid
    for (const ended of begun.ended)
      audit({ event: 'session.revoked', actor: 'server', sub: user.sub, sid: ended, reason: 'cap' })
    audit({ event: 'sign_in.succeeded', client_id: client.clientId, sub: user.sub, sid, ...sender })
    return {
      ...granted,
      sub: user.sub,
      claims: user.claims,
      issuedAt: begun.createdAt,
      now: begun.createdAt,
      session: {
        sid,
        generation: 0,
        signedInAt: begun.createdAt,
        endsAt: begun.endsAt,
        handle: mayRefresh ? handle : undefined,
      },
    }
  })
}

/**
 * A sign-in may wait for seconds, longer than a server may go by what it read of a client. What was changed meanwhile, by
 * a command that has returned, holds: nothing is granted by the registration of before. Who asks again is answered by
 * the new one.
 */
async function requireUnchanged(clients: ClientStore, client: Client): Promise<void> {
  const present = clients.recall(client.clientId) ?? (await clients.find(client.clientId))
  if (!isDeepStrictEqual(present, client)) throw new UnavailableError('The client has changed meanwhile')
}
