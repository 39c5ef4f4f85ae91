import { test } from 'tap'
import { newClient } from '../../src/accounts/client.ts'
import type { TokenSettings } from '../../src/grants/grant.ts'
import { isLive, judge, withoutWithdrawn } from '../../src/grants/judge.ts'
import { type Family, NO_LOCKSTEP } from '../../src/tokens/family.ts'

const T0 = 1_700_000_000_000
const HOME = { network: '192.0.2.0/24', agent: 'app/1.0' }
const ELSEWHERE = { network: '198.51.100.0/24', agent: 'app/1.0' }
const settings = { refreshTokenGrace: 30 } as TokenSettings

const client = newClient({
  clientId: 'web',
  type: 'public',
  grants: ['password', 'refresh_token'],
  scopes: ['read', 'write'],
  epoch: 22,
})
const family: Family = {
  id: 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mws',
  generation: 7,
  rotatedAt: T0,
  clientId: 'web',
  scope: ['read', 'write'],
  audience: ['https://api.example', 'https://old.example'],
  createdAt: T0 - 3_600_000,
  endsAt: T0 + 86_400_000,
  expiresAt: T0 + 3_600_000,
  userEpoch: 11,
  clientEpoch: 22,
  lastSender: HOME,
  replays: 0,
  lockstep: NO_LOCKSTEP,
}
const user = { sub: 'usr_1', epoch: 11, claims: {} }
const viewAt = (ms: number) => ({ now: T0 + ms, family, user })
const presented = { client, generation: 6, sender: HOME }

test('the grace is the client’s own, or else the server’s, in seconds', async (t) => {
  const kindAt = (ms: number, more = {}) =>
    judge(settings, { ...presented, client: { ...client, ...more } }, viewAt(ms)).kind
  t.equal(kindAt(29_999), 'repeat')
  t.equal(kindAt(30_000), 'reuse')
  t.equal(kindAt(4999, { refreshTokenGrace: 5 }), 'repeat')
  t.equal(kindAt(5000, { refreshTokenGrace: 5 }), 'reuse')
  t.equal(kindAt(59_999, { refreshTokenGrace: 60 }), 'repeat')
  t.equal(kindAt(0, { refreshTokenGrace: 0 }), 'reuse', 'none at all is an answer, too')
  t.equal(kindAt(30_000, { onReuse: 'observe' }), 'reuse_observed')
})

test('all of what is presented counts', async (t) => {
  t.strictSame(judge(settings, { ...presented, generation: 7 }, viewAt(0)), {
    kind: 'rotate',
    from: 7,
    to: 8,
  })
  t.strictSame(judge(settings, { ...presented, sender: ELSEWHERE }, viewAt(0)), {
    kind: 'repeat',
    generation: 7,
    lockstep: { generation: 7, run: 1 },
  })
  const kind = (more: object, view: object = {}) =>
    judge(settings, { ...presented, ...more }, { ...viewAt(0), ...view }).kind
  t.equal(kind({ scope: ['read'] }), 'repeat')
  t.equal(kind({ scope: ['admin'] }), 'scope_exceeded')
  t.equal(kind({ client: { ...client, clientId: 'app' } }), 'other_client')
  t.equal(kind({ client: { ...client, epoch: 23 } }), 'client_ended')
  t.equal(kind({}, { user: { ...user, epoch: 12 } }), 'user_ended')
  t.equal(kind({}, { user: undefined }), 'user_ended')
  t.equal(kind({}, { family: undefined }), 'gone')
  t.equal(kind({}, { now: family.expiresAt }), 'gone')
})

test('what was withdrawn from a client is gone from its sessions, and nothing else', async (t) => {
  const narrowed = { ...client, scopes: ['write', 'more'], withdrawnAudiences: ['https://old.example'] }
  t.strictSame(withoutWithdrawn(narrowed, family), {
    ...family,
    scope: ['write'],
    audience: ['https://api.example'],
  })
  const fewerScopes = { ...client, scopes: ['write'] }
  t.strictSame(withoutWithdrawn(fewerScopes, family), { ...family, scope: ['write'] }, 'a scope alone')
  const fewerAudiences = { ...client, withdrawnAudiences: ['https://old.example'] }
  t.strictSame(
    withoutWithdrawn(fewerAudiences, family),
    { ...family, audience: ['https://api.example'] },
    'an audience alone',
  )
  t.equal(withoutWithdrawn(client, family), family, 'where nothing was, nothing is copied')
  const unnamed = { ...client, audiences: ['https://new.example'] }
  t.strictSame(withoutWithdrawn(unnamed, family), family, 'an audience that it never had was not withdrawn')
})

test('a session is alive while its current token would be taken', async (t) => {
  const view = viewAt(0)
  t.equal(isLive(settings, client, view), true)
  const over = {
    'no client any more': [undefined, view],
    'its client disabled': [{ ...client, disabled: true }, view],
    'no record any more': [client, { ...view, family: undefined }],
    'of another client': [{ ...client, clientId: 'app' }, view],
    revoked: [client, { ...view, family: { ...family, revoked: { reason: 'client' as const, at: T0 } } }],
    'its time over': [client, { ...view, now: family.endsAt }],
    'its user signed out everywhere': [client, { ...view, user: { ...user, epoch: 12 } }],
    'its client’s sessions ended': [{ ...client, epoch: 23 }, view],
  } as const
  for (const [what, [client, view]] of Object.entries(over))
    t.equal(isLive(settings, client, view), false, what)
})
