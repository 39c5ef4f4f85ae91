import { setTimeout as sleep } from 'node:timers/promises'
import { HEAL_BOUND } from '../../src/tokens/decision.ts'
import { mintRefreshToken, readRefreshToken } from '../../src/tokens/refresh-token.ts'
import { auditEvent } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, type Tokens } from '../support/http-client.ts'
import { ADA, APP, type Context, eachOf, recordOf, shapeOf, sidOf } from './context.ts'
import { withCountedServer } from './counted-server.ts'
import type { Row } from './row.ts'

const SIGN_IN = { grant_type: 'password', ...APP, ...ADA } as const

/** The token of another generation of the same session, as only the server can make it. */
function ofGeneration({ keys }: Context, tokens: Tokens, generation: number): Tokens {
  const token = readRefreshToken(keys.refresh, tokens.refresh_token)
  if (!token) throw new Error('not a token of this server')
  return { ...tokens, refresh_token: mintRefreshToken(keys.refresh, { handle: token.handle, generation }) }
}

/** The rows on the three grants. */
export const GRANTS: readonly Row[] = [
  {
    id: 'C20',
    title: 'whatever is wrong with a sign-in, the answer and the work are the same',
    alone: true,
    async hold(t, context) {
      const { token, deployment, pawl, register, registerConfidential } = context
      await deployment.addUser('switched-off', 'a password')
      await pawl(['user', 'disable', 'switched-off'])
      const ways = {
        'a wrong password': { password: 'wrong' },
        'an unknown user': { username: 'nobody', password: 'wrong' },
        'an unknown user of a long name': { username: 'n'.repeat(4000), password: 'wrong' },
        'a disabled user': { username: 'switched-off', password: 'a password' },
        'a disabled user and a wrong password': { username: 'switched-off', password: 'wrong' },
      }
      const expected = shapeOf(await token({ ...SIGN_IN, password: 'wrong' }))
      for (const [name, form] of Object.entries(ways)) {
        const answer = await token({ ...SIGN_IN, ...form })
        expectOAuthError(t, answer, 'invalid_grant', name)
        t.strictSame(shapeOf(answer), expected, `${name}: the same bytes and headers`)
      }
      await withCountedServer(context, 120, async ({ token, count }) => {
        t.equal((await token(SIGN_IN)).status, 200)
        for (const [name, form] of Object.entries(ways)) {
          const asked = await count(() => token({ ...SIGN_IN, ...form }))
          const work = asked.filter((verb) => verb !== 'clients.find')
          const sameForAll = [
            'networks.isKnown',
            'attempts.reserve',
            'users.findByUsername',
            'passwords.verify',
            'attempts.settle',
          ]
          t.strictSame(work, sameForAll, `${name}: one look and one hash`)
        }
        await pawl(['user', 'unlock', ADA.username])
        // Whatever budget there is for failures: a known and an unknown user meet it in the same way.
        for (let failure = 0; failure < 15; failure += 1) {
          const answers: object[] = []
          const works: string[][] = []
          for (const username of [ADA.username, 'nobody-else']) {
            const asked = await count(async () => {
              const answer = await token({ ...SIGN_IN, username, password: `wrong ${failure}` })
              // The seconds that are left of a window, which began at the first failure, differ by when that was.
              const { 'retry-after': after, ...headers } = answer.headers
              answers.push({ ...shapeOf({ ...answer, headers }), hasRetryAfter: after !== undefined })
            })
            works.push(asked.filter((verb) => verb !== 'clients.find'))
          }
          t.strictSame(answers[0], answers[1], `failure ${failure}: the same answer`)
          t.strictSame(works[0], works[1], `failure ${failure}: the same work`)
          const isThrottled = 'status' in answers[0]! && answers[0].status === 429
          t.equal(works[0]?.includes('passwords.verify'), !isThrottled, 'throttled, without a hash')
          t.equal(isThrottled, failure >= 10, 'from the eleventh failure on')
        }
      })
      for (const client of [
        await register('no-password', { grants: ['refresh_token'] }),
        await registerConfidential('no-password-web', { grants: ['refresh_token', 'client_credentials'] }),
      ]) {
        for (const password of [ADA.password, 'wrong']) {
          const answer = await token({ ...SIGN_IN, ...client, password })
          expectOAuthError(t, answer, 'unauthorized_client', 'off unless the client lists it')
        }
      }
    },
  },
  {
    id: 'C21',
    title: 'a missing or empty user name or password',
    async hold(t, { token }) {
      for (const name of ['username', 'password'] as const) {
        for (const value of [undefined, '']) {
          const answer = await token({ ...SIGN_IN, [name]: value })
          expectOAuthError(t, answer, 'invalid_request', `${name} ${value ?? 'missing'}`)
        }
      }
      expectOAuthError(t, await token({ ...SIGN_IN, username: '', password: '' }), 'invalid_request')
      expectOAuthError(t, await token({ ...SIGN_IN, username: 'nobody', password: '' }), 'invalid_request')
      for (const password of [' ', '\0', '\n']) {
        expectOAuthError(t, await token({ ...SIGN_IN, password }), 'invalid_grant', JSON.stringify(password))
      }
    },
  },
  {
    id: 'C22',
    title: 'client_credentials: confidential clients only, no refresh token, sub is the client',
    async hold(t, { token, web, deployment, register, adaSub, server }) {
      const answer = await token({ grant_type: 'client_credentials', ...web })
      t.strictSame(
        [answer.status, Object.keys(answer.json ?? {}).sort()],
        [200, ['access_token', 'expires_in', 'scope', 'token_type']],
      )
      const claims = claimsOf(String(answer.json?.access_token))
      t.strictSame(
        Object.keys(claims).sort(),
        ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub'],
        'no session and no sign-in',
      )
      t.match(claims, { sub: 'web', client_id: 'web', iss: `http://localhost:${server.port}` })
      t.match(await token({ grant_type: 'client_credentials', ...web, scope: 'read' }), {
        status: 200,
        json: { scope: 'read' },
      })
      // The command line does not register such a client; the endpoint refuses it all the same.
      const loose = await register('public-robot', { grants: ['client_credentials'] })
      expectOAuthError(t, await token({ grant_type: 'client_credentials', ...loose }), 'unauthorized_client')
      const refused = await deployment.cli([
        'client',
        'add',
        'robot',
        '--public',
        '--grant',
        'client_credentials',
      ])
      t.not(refused.code, 0)
      t.match(refused.stderr, /client_credentials is for confidential clients only/)
      t.match(adaSub, /^usr_/, 'a user’s sub begins so')
      const namesake = await deployment.cli(['client', 'add', adaSub, '--confidential'])
      t.not(namesake.code, 0, 'and no client’s identifier may')
      t.match(namesake.stderr, /begins with usr_/)
    },
  },
  {
    id: 'C23',
    title: 'a refresh by another client is refused and consumes nothing',
    async hold(t, context) {
      const { tryRefresh, refresh, signIn, web, register } = context
      const strict = await register('strict-owner', { refreshTokenGrace: 0 })
      const g0 = await signIn(strict)
      const g1 = await refresh(g0, strict)
      const before = await recordOf(context, g0)
      for (const tokens of [g0, g1, ofGeneration(context, g0, 2), ofGeneration(context, g0, 5000)]) {
        expectOAuthError(t, await tryRefresh(tokens, APP), 'invalid_grant', 'a public client')
        expectOAuthError(t, await tryRefresh(tokens, web), 'invalid_grant', 'a confidential client')
      }
      t.strictSame(await recordOf(context, g0), before, 'untouched')
      t.ok(await refresh(g1, strict), 'the owner’s next refresh works')
    },
  },
  {
    id: 'C24',
    title: 'a refresh’s scope lies within the grant, and narrows one access token only',
    async hold(t, context) {
      const { tryRefresh, refresh, signIn, register } = context
      const strict = await register('strict-scopes', {
        refreshTokenGrace: 0,
        scopes: ['read', 'write', 'more'],
      })
      const g0 = await signIn({ ...strict, scope: 'read write' })
      const before = await recordOf(context, g0)
      for (const scope of ['admin', 'read admin', 'more', 'read write more']) {
        expectOAuthError(t, await tryRefresh(g0, { ...strict, scope }), 'invalid_scope', scope)
      }
      t.strictSame(await recordOf(context, g0), before, 'the token is not consumed')
      const g1 = await refresh(g0, { ...strict, scope: 'read' })
      t.strictSame([g1.scope, claimsOf(g1.access_token).scope], ['read', 'read'], 'narrowed')
      const g2 = await refresh(g1, strict)
      t.strictSame(
        [g2.scope, claimsOf(g2.access_token).scope],
        ['read write', 'read write'],
        'then the whole grant',
      )
      const g3 = await refresh(g2, { ...strict, scope: 'write' })
      t.equal(g3.scope, 'write')
    },
  },
  {
    id: 'C25',
    title: 'a refresh after an account was changed is refused or narrowed',
    async hold(t, context) {
      const { deployment, pawl, signIn, tryRefresh, token, introspect, web } = context
      type Outcome = string | { scope: string; aud: unknown }
      const cases: Record<string, [change: string[], outcome: Outcome, stdin?: string]> = {
        'user-disabled': [['user', 'disable', 'user-disabled'], 'invalid_grant'],
        'user-deleted': [['user', 'delete', 'user-deleted'], 'invalid_grant'],
        'password-changed': [
          ['user', 'set-password', 'password-changed', '--password-stdin'],
          'invalid_grant',
          'walks along the river',
        ],
        'signed-out': [['session', 'revoke', '--user', 'signed-out'], 'invalid_grant'],
        'client-signed-out': [['session', 'revoke', '--client', 'client-signed-out'], 'invalid_grant'],
        'client-disabled': [['client', 'disable', 'client-disabled'], 'invalid_client'],
        'client-deleted': [['client', 'delete', 'client-deleted'], 'invalid_client'],
        'grant-removed': [
          ['client', 'update', 'grant-removed', '--grant', 'password'],
          'unauthorized_client',
        ],
        'scope-removed': [
          ['client', 'update', 'scope-removed', '--scope', 'read'],
          { scope: 'read', aud: ['a', 'b'] },
        ],
        'scopes-removed': [
          ['client', 'update', 'scopes-removed', '--scope', ''],
          { scope: '', aud: ['a', 'b'] },
        ],
        'scope-added': [
          ['client', 'update', 'scope-added', '--scope', 'read write admin'],
          { scope: 'read write', aud: ['a', 'b'] },
        ],
        'audience-removed': [
          ['client', 'update', 'audience-removed', '--audience', 'a'],
          { scope: 'read write', aud: 'a' },
        ],
        'audiences-removed': [['client', 'update', 'audiences-removed', '--audience', 'c'], 'invalid_grant'],
      }
      await eachOf(Object.entries(cases), 3, async ([name, [change, outcome, stdin]]) => {
        const password = `password of ${name}`
        const client = { client_id: name }
        await deployment.addClient(name, { scopes: ['read', 'write'], audiences: ['a', 'b'] })
        await deployment.addUser(name, password)
        const held = await signIn({ ...client, username: name, password })
        t.equal((await tryRefresh(held, client)).status, 200, `${name}: before`)
        const current = ofGeneration(context, held, 1)
        await pawl(change, stdin)
        if (typeof outcome === 'string') {
          expectOAuthError(t, await tryRefresh(current, client), outcome, name)
          expectOAuthError(t, await tryRefresh(held, client), outcome, `${name}: the predecessor`)
          return
        }
        const narrowed = await tryRefresh(current, client)
        const { aud, scope } = claimsOf(String(narrowed.json?.access_token))
        t.strictSame(
          { status: narrowed.status, scope: narrowed.json?.scope, inside: { scope, aud } },
          { status: 200, scope: outcome.scope, inside: outcome },
          name,
        )
        const greedy = await tryRefresh(ofGeneration(context, held, 2), { ...client, scope: 'write' })
        const gets = outcome.scope.includes('write') ? 'write' : undefined
        t.match(
          { status: greedy.status, scope: greedy.json?.scope },
          { status: gets ? 200 : 400, scope: gets },
          `${name}: what is gone cannot be asked for`,
        )
      })
      const off = { username: 'user-disabled', password: 'password of user-disabled' }
      expectOAuthError(t, await token({ ...SIGN_IN, ...off }), 'invalid_grant')
      await pawl(['user', 'enable', 'user-disabled'])
      t.ok(await signIn(off), 'enabled again, the user may sign in')
      t.strictSame((await introspect({ ...web, token: 'x' })).json, { active: false })
    },
  },
  {
    id: 'C26',
    alone: true,
    title: 'any other spelling of a refresh token is refused before I/O',
    async hold(t, context) {
      const { deployment, register, refresh } = context
      const strict = await register('strict-spelling', { refreshTokenGrace: 0 })
      await withCountedServer(context, 126, async ({ signIn, tryRefresh, count }) => {
        const held = await signIn(strict)
        const before = await recordOf(context, held)
        const spellings = spellingsOf(held.refresh_token)
        // Redis' own count beside ours: one script is all that ever touches a family.
        const scripts = async () =>
          /cmdstat_evalsha:calls=(\d+)/.exec(String(await deployment.redis?.cli('INFO', 'commandstats')))?.[1]
        const ran = await scripts()
        const answers = new Map<string, number>()
        const asked = await count(() =>
          eachOf(spellings, 16, async (refresh_token) => {
            const { status, json } = await tryRefresh({ refresh_token }, strict)
            const answer = `${status} ${json?.error}`
            answers.set(answer, (answers.get(answer) ?? 0) + 1)
          }),
        )
        t.strictSame([...answers], [['400 invalid_grant', spellings.length]], `${spellings.length} spellings`)
        t.strictSame(
          [...new Set(asked)].filter((verb) => verb !== 'clients.find'),
          [],
          'nothing is asked beyond client authentication',
        )
        if (context.kind === 'redis') t.match(ran, /^\d+$/)
        t.equal(await scripts(), ran, 'no script was run')
        t.strictSame(await recordOf(context, held), before, 'no effect on the session')
        t.ok(await refresh(held, strict), 'which goes on')
      })
    },
  },
  {
    id: 'C27',
    title: 'the decision table of docs/rotation.md, row by row',
    async hold(t, context) {
      await Promise.all(DECISIONS.map((decision) => decision(t, context)))
    },
  },
  {
    id: 'C28',
    title: 'auth_time and the absolute end stay through every refresh',
    async hold(t, context) {
      const { refresh, tryRefresh, signIn, register } = context
      const mortal = await register('mortal', { refreshTokenIdleTtl: 8, refreshTokenMaxTtl: 8 })
      let tokens = await signIn(mortal)
      const begun = performance.now()
      const first = claimsOf(tokens.access_token)
      const record = await recordOf(context, tokens)
      t.ok(Math.abs(Number(first.auth_time) - Date.now() / 1000) < 5)
      t.equal(first.iat, first.auth_time)
      for (let turn = 1; turn <= 3; turn += 1) {
        await sleep(1100)
        tokens = await refresh(tokens, mortal)
        const claims = claimsOf(tokens.access_token)
        t.equal(claims.auth_time, first.auth_time, 'auth_time is that of the sign-in')
        t.equal(claims.sid, first.sid)
        t.ok(Number(claims.iat) > Number(first.iat), 'while iat moves')
        t.ok(Number(claims.exp) <= Number(first.auth_time) + 8, 'no access token outlives the session')
        t.ok(tokens.expires_in <= 8 - turn, 'and says so')
        const moved = await recordOf(context, tokens)
        t.strictSame(
          [moved?.createdAt, moved?.endsAt],
          [record?.createdAt, record?.endsAt],
          'the end never moves',
        )
        t.equal(moved?.generation, turn)
      }
      await sleep(8300 - (performance.now() - begun))
      expectOAuthError(t, await tryRefresh(tokens, mortal), 'invalid_grant', 'the absolute end')
      t.equal(await recordOf(context, tokens), undefined, 'the record is gone')
    },
  },
]

/** Every change of one character, truncation, extension, flip of case and respelling in base64. */
function spellingsOf(token: string): string[] {
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const next = (letter: string) => LETTERS.charAt((LETTERS.indexOf(letter) + 1) % 64)
  const far = (letter: string) => LETTERS.charAt((LETTERS.indexOf(letter) + 32) % 64)
  const swap = (letter: string) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()
  const at = (i: number, change: (letter: string) => string) =>
    token.slice(0, i) + change(token.charAt(i)) + token.slice(i + 1)
  const positions = Array.from(token, (_, i) => i)
  const respelt = Buffer.from(token.slice('prt_'.length), 'base64url')
  const all = new Set([
    ...[next, far, swap, () => '', () => '.', (letter: string) => letter + letter].flatMap((change) =>
      positions.map((i) => at(i, change)),
    ),
    ...positions.map((i) => token.slice(0, i)),
    ...positions.map((i) => token.slice(i)),
    // The last character alone, in every way: padding and spare bits would show there.
    ...Array.from(LETTERS, (letter) => token.slice(0, -1) + letter),
    ...['A', '=', '==', ' ', '\n', '\t', '\0', '.', token].flatMap((more) => [token + more, more + token]),
    token.toUpperCase(),
    token.toLowerCase(),
    token.replaceAll('-', '+').replaceAll('_', '/'),
    `prt_${respelt.toString('base64')}`,
    `prt_${respelt.toString('base64')}=`,
    `prt_${respelt.toString('hex')}`,
    `prt_${Buffer.concat([respelt, Buffer.alloc(3)]).toString('base64url')}`,
    `PRT_${token.slice('prt_'.length)}`,
    'prt_',
    'x',
  ])
  all.delete(token)
  // An empty parameter is an absent one.
  all.delete('')
  return [...all]
}

type Decision = Row['hold']

/** Each row of the decision table, in its order. */
const DECISIONS: readonly Decision[] = [
  async function gone(t, context) {
    const { signIn, tryRefresh, refresh, register } = context
    const brief = await register('idles', { refreshTokenIdleTtl: 6, refreshTokenMaxTtl: 60 })
    const idle = await signIn(brief)
    const busy = await signIn(brief)
    await sleep(3200)
    const turned = await refresh(busy, brief)
    await sleep(3200)
    expectOAuthError(t, await tryRefresh(idle, brief), 'invalid_grant', 'gone: past its idle end')
    t.ok(await refresh(turned, brief), 'a refresh moves the idle end')
    const unborn = mintRefreshToken(context.keys.refresh, { handle: Buffer.alloc(25, 7), generation: 0 })
    expectOAuthError(t, await tryRefresh({ refresh_token: unborn }), 'invalid_grant', 'gone: it never was')
  },

  async function revoked(t, context) {
    const { signIn, tryRefresh, refresh, deployment, server } = context
    const g0 = await signIn()
    const g1 = await refresh(g0)
    const sid = sidOf(g0)
    t.equal(await deployment.withStore((store) => store.families.revoke(sid, 'operator')), 'revoked')
    const before = await recordOf(context, g0)
    for (const [presented, tokens] of [
      [1, g1],
      [0, g0],
      [9, ofGeneration(context, g0, 9)],
    ] as const) {
      expectOAuthError(t, await tryRefresh(tokens), 'invalid_grant', 'revoked')
      await auditEvent(server, 'refresh.after_revocation', { sid, reason: 'operator', presented })
    }
    t.strictSame(await recordOf(context, g0), before, 'revoked: nothing moves')
  },

  async function otherClient(t, context) {
    const { signIn, tryRefresh, refresh, web } = context
    const g0 = await signIn()
    const before = await recordOf(context, g0)
    expectOAuthError(t, await tryRefresh(g0, web), 'invalid_grant', 'other client')
    t.strictSame(await recordOf(context, g0), before, 'other client: not consumed')
    t.ok(await refresh(g0))
  },

  async function userEnded(t, context) {
    const { signIn, tryRefresh, deployment } = context
    const sub = await deployment.addUser('ended', 'a password')
    const g0 = await signIn({ username: 'ended', password: 'a password' })
    await deployment.withStore((store) => store.users.change(sub, { epoch: 1 }))
    expectOAuthError(t, await tryRefresh(g0), 'invalid_grant', 'user ended')
    t.notOk((await recordOf(context, g0))?.revoked, 'user ended: no effect needed')
  },

  async function clientEnded(t, context) {
    const { signIn, tryRefresh, deployment, register } = context
    const client = await register('ended-client')
    const g0 = await signIn(client)
    await deployment.withStore((store) => store.clients.change('ended-client', { epoch: 1 }))
    expectOAuthError(t, await tryRefresh(g0, client), 'invalid_grant', 'client ended')
    t.notOk((await recordOf(context, g0))?.revoked, 'client ended: no effect needed')
  },

  async function scopeExceeded(t, context) {
    const { signIn, tryRefresh, refresh } = context
    const g0 = await signIn({ scope: 'read' })
    const before = await recordOf(context, g0)
    expectOAuthError(t, await tryRefresh(g0, { ...APP, scope: 'read write' }), 'invalid_scope')
    t.strictSame(await recordOf(context, g0), before, 'scope exceeded: no effect')
    t.ok(await refresh(g0))
  },

  async function rotate(t, context) {
    const { signIn, refresh } = context
    const g0 = await signIn()
    const before = await recordOf(context, g0)
    await sleep(100)
    const g1 = await refresh(g0)
    const g2 = await refresh(g1)
    const after = await recordOf(context, g0)
    t.equal(new Set([g0, g1, g2].map(({ refresh_token }) => refresh_token)).size, 3)
    t.equal(after?.generation, 2, 'rotate: generation + 1 each')
    t.ok(Number(after?.rotatedAt) > Number(before?.rotatedAt), 'rotate: rotatedAt is now')
    t.ok(Number(after?.expiresAt) > Number(before?.expiresAt), 'rotate: the idle end moves')
    t.equal(after?.endsAt, before?.endsAt, 'rotate: the absolute end never')
    t.equal(ofGeneration(context, g0, 2).refresh_token, g2.refresh_token, 'the successor is a computed value')
  },

  async function repeat(t, context) {
    const { signIn, refresh, server } = context
    const g0 = await signIn()
    const g1 = await refresh(g0)
    const before = await recordOf(context, g0)
    for (const repeated of await Promise.all([refresh(g0), refresh(g0), refresh(g0)])) {
      t.strictSame(
        { ...repeated, expires_in: 0 },
        { ...g1, expires_in: 0 },
        'repeat: the same tokens, to the letter',
      )
    }
    t.strictSame(await recordOf(context, g0), { ...before, replays: 3 }, 'repeat: only the counter moves')
    await auditEvent(server, 'refresh.replayed', { sid: sidOf(g0), presented: 0, current: 1 })
    const [left, right] = await Promise.all([refresh(g1), refresh(g1)])
    t.equal(left.refresh_token, right.refresh_token, 'two at once get the same')
  },

  async function reuseAfterGrace(t, context) {
    const { signIn, refresh, tryRefresh, server, register } = context
    const brief = await register('brief-grace', { refreshTokenGrace: 4 })
    const g0 = await signIn(brief)
    const asked = performance.now()
    const g1 = await refresh(g0, brief)
    const rotated = performance.now()
    while (performance.now() - asked < 1500) {
      t.equal((await refresh(g0, brief)).refresh_token, g1.refresh_token)
      await sleep(500)
    }
    await sleep(4100 - (performance.now() - rotated))
    expectOAuthError(t, await tryRefresh(g0, brief), 'invalid_grant', 'reuse: no repeat prolongs the grace')
    await auditEvent(server, 'refresh.reuse', { sid: sidOf(g0), presented: 0, current: 1 })
    t.match(
      await recordOf(context, g0),
      { generation: 1, revoked: { reason: 'reuse' } },
      'reuse: a tombstone',
    )
    expectOAuthError(t, await tryRefresh(g1, brief), 'invalid_grant', 'reuse: the session has ended')
  },

  async function reuseOfAnOlderOne(t, context) {
    const { signIn, refresh, tryRefresh, server, register } = context
    const g0 = await signIn()
    const g2 = await refresh(await refresh(g0))
    expectOAuthError(t, await tryRefresh(g0), 'invalid_grant', 'reuse: the grace is for the predecessor only')
    await auditEvent(server, 'refresh.reuse', { sid: sidOf(g0), presented: 0, current: 2 })
    expectOAuthError(t, await tryRefresh(g2), 'invalid_grant')
    const strict = await register('strict-reuse', { refreshTokenGrace: 0 })
    const s0 = await signIn(strict)
    const sibling = await signIn(strict)
    await refresh(s0, strict)
    expectOAuthError(t, await tryRefresh(s0, strict), 'invalid_grant', 'reuse: strict has no grace at all')
    t.ok(await refresh(sibling, strict), 'reuse: another session of the same user and client lives')
  },

  async function reuseObserved(t, context) {
    const { signIn, refresh, server, register } = context
    const observer = await register('observer', { refreshTokenGrace: 0, onReuse: 'observe' })
    const g0 = await signIn(observer)
    const g1 = await refresh(g0, observer)
    const g2 = await refresh(g1, observer)
    for (const [presented, stale] of [g0, g1].entries()) {
      t.equal((await refresh(stale, observer)).refresh_token, g2.refresh_token, 'observed: the current token')
      await auditEvent(server, 'refresh.reuse_observed', { sid: sidOf(g0), presented, current: 2 })
    }
    t.notOk((await recordOf(context, g0))?.revoked)
    t.ok(await refresh(g2, observer), 'observed: the session lives')
  },

  async function heal(t, context) {
    const { signIn, refresh, server } = context
    const g0 = await signIn()
    const ahead = ofGeneration(context, g0, HEAL_BOUND)
    const healed = await refresh(ahead)
    const expected = ofGeneration(context, g0, HEAL_BOUND + 1)
    t.equal(healed.refresh_token, expected.refresh_token, 'heal: generation = presented + 1')
    await auditEvent(server, 'refresh.healed', { sid: sidOf(g0), presented: HEAL_BOUND, current: 0 })
    t.equal((await refresh(ahead)).refresh_token, healed.refresh_token, 'heal: a repeat of it gets the same')
    t.ok(await refresh(healed))
  },

  async function tooFarAhead(t, context) {
    const { signIn, refresh, tryRefresh, server } = context
    const g0 = await signIn()
    const before = await recordOf(context, g0)
    for (const presented of [HEAL_BOUND + 1, 0xffff_ffff]) {
      expectOAuthError(
        t,
        await tryRefresh(ofGeneration(context, g0, presented)),
        'invalid_grant',
        'too far ahead',
      )
      await auditEvent(server, 'refresh.too_far_ahead', { sid: sidOf(g0), presented, current: 0 })
    }
    t.strictSame(await recordOf(context, g0), before, 'too far ahead: no revocation')
    t.ok(await refresh(g0))
  },
]
