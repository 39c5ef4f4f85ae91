import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { loadKeys } from '../../src/keys/key-files.ts'
import { HEAL_BOUND } from '../../src/tokens/decision.ts'
import { mintRefreshToken, readRefreshToken } from '../../src/tokens/refresh-token.ts'
import { auditEvent, auditEvents, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectUnavailable } from '../support/expect.ts'
import { claimsOf, refresh, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'

const sidOf = ({ access_token }: Tokens) => String(claimsOf(access_token).sid)

// One family of answers for each row of docs/rotation.md's table, by HTTP. Both stores at once: the rows mostly wait.
t.jobs = STORE_KINDS.length
for (const kind of STORE_KINDS) {
  t.test(`C27 the decision table, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const account = (name: string, options: object) => deployment.addAccount(name, options)
    const other = await account('other', {})
    const strict = await account('strict', { refreshTokenGrace: 0 })
    const brief = await account('brief', { refreshTokenGrace: 4 })
    const observer = await account('observer', { refreshTokenGrace: 0, onReuse: 'observe' })
    const mortal = await account('mortal', { refreshTokenIdleTtl: 6, refreshTokenMaxTtl: 10 })
    const server = await deployment.startServer()
    const { url } = server
    const { refresh: ring } = await loadKeys(String(deployment.env.KEYS_DIR))

    const turn = (tokens: Tokens, { client_id }: { client_id: string }, scope?: string) =>
      refresh(url, tokens.refresh_token, { client_id, scope })
    const tryTurn = (tokens: Tokens, { client_id }: { client_id: string }, scope?: string) =>
      tryRefresh(url, tokens.refresh_token, { client_id, scope })
    const recordOf = (tokens: Tokens) => deployment.recordOf(sidOf(tokens))
    /** The token of another generation of the same session, as only the server can make it. */
    const ofGeneration = (tokens: Tokens, generation: number): Tokens => {
      const token = readRefreshToken(ring, tokens.refresh_token)
      if (!token) throw new Error('not a token of this ring')
      return { ...tokens, refresh_token: mintRefreshToken(ring, { handle: token.handle, generation }) }
    }
    const eventsOf = (tokens: Tokens) =>
      auditEvents(server)
        .filter(({ sid }) => sid === sidOf(tokens))
        .map(({ event }) => event)

    t.test('presented = current: rotate', async (t) => {
      const g0 = await signIn(url, ada)
      const before = await recordOf(g0)
      await sleep(100)
      const g1 = await turn(g0, ada)
      const g2 = await turn(g1, ada)
      const after = await recordOf(g0)
      t.equal(new Set([g0, g1, g2].map(({ refresh_token }) => refresh_token)).size, 3)
      t.equal(after?.generation, 2, 'generation + 1 each')
      t.ok(Number(after?.rotatedAt) > Number(before?.rotatedAt), 'rotatedAt = now')
      t.ok(Number(after?.expiresAt) > Number(before?.expiresAt), 'the idle end moves')
      t.equal(after?.endsAt, before?.endsAt, 'the absolute end never')
      t.equal(ofGeneration(g0, 2).refresh_token, g2.refresh_token, 'the successor is a computed value')
      await auditEvent(server, 'sign_in.succeeded', { sid: sidOf(g0) })
      t.strictSame(eventsOf(g0), ['sign_in.succeeded'])
    })

    t.test('presented = current − 1 within the grace: repeat, and nothing moves', async (t) => {
      const g0 = await signIn(url, ada)
      const g1 = await turn(g0, ada)
      const before = await recordOf(g0)
      const repeats = await Promise.all([turn(g0, ada), turn(g0, ada), turn(g0, ada)])
      for (const repeat of repeats) {
        t.equal(repeat.refresh_token, g1.refresh_token, 'the same successor')
        t.equal(repeat.access_token, g1.access_token, 'the same access token')
        t.equal(repeat.scope, g1.scope)
      }
      t.strictSame(await recordOf(g0), { ...before, replays: 3 }, 'only the replay counter moves')
      await auditEvent(server, 'refresh.replayed', { sid: sidOf(g0), presented: 0, current: 1 })
      t.ok(await turn(g1, ada), 'and it goes on')
    })

    t.test('the grace is anchored at the rotation: no repeat prolongs it', async (t) => {
      const g0 = await signIn(url, brief)
      const g1 = await turn(g0, brief)
      const rotated = performance.now()
      while (performance.now() - rotated < 1500) {
        t.equal((await turn(g0, brief)).refresh_token, g1.refresh_token)
        await sleep(500)
      }
      await sleep(4100 - (performance.now() - rotated))
      expectOAuthError(t, await tryTurn(g0, brief), 'invalid_grant', 'after the grace it is reuse')
      await auditEvent(server, 'refresh.reuse', { sid: sidOf(g0), presented: 0, current: 1 })
      expectOAuthError(t, await tryTurn(g1, brief), 'invalid_grant', 'the session has ended')
    })

    t.test('the grace is for the immediate predecessor only', async (t) => {
      const g0 = await signIn(url, ada)
      const g2 = await turn(await turn(g0, ada), ada)
      expectOAuthError(t, await tryTurn(g0, ada), 'invalid_grant')
      await auditEvent(server, 'refresh.reuse', { sid: sidOf(g0), presented: 0, current: 2 })
      expectOAuthError(t, await tryTurn(g2, ada), 'invalid_grant')
    })

    t.test('presented < current otherwise: reuse', async (t) => {
      const g0 = await signIn(url, strict)
      const sibling = await signIn(url, strict)
      const g1 = await turn(g0, strict)
      expectOAuthError(t, await tryTurn(g0, strict), 'invalid_grant', 'strict: no grace at all')
      t.match(await recordOf(g0), { generation: 1, revoked: { reason: 'reuse' } }, 'revoked, not deleted')
      for (const tokens of [g1, g0, ofGeneration(g0, 2)]) {
        expectOAuthError(
          t,
          await tryTurn(tokens, strict),
          'invalid_grant',
          'every token of the session is refused',
        )
      }
      await auditEvent(server, 'refresh.after_revocation', { sid: sidOf(g0), reason: 'reuse', presented: 2 })
      t.equal(eventsOf(g0).filter((event) => event === 'refresh.reuse').length, 1, 'reuse is told once')
      t.ok(await turn(sibling, strict), 'another session of the same user and client lives')
    })

    t.test('reuse that is only observed', async (t) => {
      const g0 = await signIn(url, observer)
      const g1 = await turn(g0, observer)
      const g2 = await turn(g1, observer)
      for (const stale of [g0, g1]) {
        t.equal((await turn(stale, observer)).refresh_token, g2.refresh_token, 'the current token')
      }
      for (const presented of [0, 1]) {
        await auditEvent(server, 'refresh.reuse_observed', { sid: sidOf(g0), presented, current: 2 })
      }
      t.notOk((await recordOf(g0))?.revoked)
      t.ok(await turn(g2, observer), 'the session lives')
    })

    t.test('presented > current, within the bound: heal', async (t) => {
      const g0 = await signIn(url, ada)
      const ahead = ofGeneration(g0, HEAL_BOUND)
      const healed = await turn(ahead, ada)
      t.equal(
        healed.refresh_token,
        ofGeneration(g0, HEAL_BOUND + 1).refresh_token,
        'generation = presented + 1',
      )
      await auditEvent(server, 'refresh.healed', { sid: sidOf(g0), presented: HEAL_BOUND, current: 0 })
      t.equal((await turn(ahead, ada)).refresh_token, healed.refresh_token, 'a repeat of it gets the same')
      t.ok(await turn(healed, ada))
    })

    t.test('presented > current by more: refused, and no revocation', async (t) => {
      const g0 = await signIn(url, ada)
      const before = await recordOf(g0)
      expectOAuthError(t, await tryTurn(ofGeneration(g0, HEAL_BOUND + 1), ada), 'invalid_grant')
      expectOAuthError(
        t,
        await tryTurn(ofGeneration(g0, 0xffff_ffff), ada),
        'invalid_grant',
        'the last generation',
      )
      await auditEvent(server, 'refresh.too_far_ahead', {
        sid: sidOf(g0),
        presented: HEAL_BOUND + 1,
        current: 0,
      })
      t.strictSame(await recordOf(g0), before, 'untouched')
      t.ok(await turn(g0, ada))
    })

    t.test('C23 another client: nothing is consumed or revoked', async (t) => {
      const g0 = await signIn(url, strict)
      const g1 = await turn(g0, strict)
      const before = await recordOf(g0)
      for (const tokens of [g0, g1, ofGeneration(g0, 2), ofGeneration(g0, 5000)]) {
        expectOAuthError(t, await tryTurn(tokens, other), 'invalid_grant')
      }
      t.strictSame(await recordOf(g0), before, 'untouched')
      // Events come in their order: once this one is there, so is every one before it.
      const later = await signIn(url, strict)
      await auditEvent(server, 'sign_in.succeeded', { sid: sidOf(later) })
      t.strictSame(eventsOf(g0), ['sign_in.succeeded'], 'and no event')
      t.ok(await turn(g1, strict), 'the owner goes on')
    })

    t.test('C24 scope: within the grant or refused, and the token is not consumed', async (t) => {
      const g0 = await signIn(url, strict)
      const before = await recordOf(g0)
      for (const scope of ['admin', 'read admin', 'read  write']) {
        expectOAuthError(t, await tryTurn(g0, strict, scope), 'invalid_scope', scope)
      }
      t.strictSame(await recordOf(g0), before, 'untouched')
      const g1 = await turn(g0, strict, 'read')
      t.match([g1.scope, claimsOf(g1.access_token).scope], ['read', 'read'], 'narrowed')
      const g2 = await turn(g1, strict)
      t.match(
        [g2.scope, claimsOf(g2.access_token).scope],
        ['read write', 'read write'],
        'then omitted: the whole grant',
      )
      const narrow = await signIn(url, ada, 'read')
      expectOAuthError(
        t,
        await tryTurn(narrow, ada, 'read write'),
        'invalid_scope',
        'the grant counts, not the client',
      )
      t.equal((await turn(narrow, ada)).scope, 'read')
      expectOAuthError(
        t,
        await tryTurn(g0, strict, 'admin'),
        'invalid_scope',
        'a scope that is refused is no reuse',
      )
      t.ok(await turn(g2, strict))
    })

    t.test('a revoked session', async (t) => {
      const g0 = await signIn(url, ada)
      const g1 = await turn(g0, ada)
      t.equal(await deployment.withStore((store) => store.families.revoke(sidOf(g0), 'operator')), 'revoked')
      const before = await recordOf(g0)
      for (const tokens of [g1, g0, ofGeneration(g0, 9)])
        expectOAuthError(t, await tryTurn(tokens, ada), 'invalid_grant')
      t.strictSame(await recordOf(g0), before, 'untouched')
      for (const presented of [0, 1, 9]) {
        await auditEvent(server, 'refresh.after_revocation', {
          sid: sidOf(g0),
          reason: 'operator',
          presented,
        })
      }
    })

    t.test('C28 the idle end moves, the absolute end does not', async (t) => {
      const idle = await signIn(url, mortal)
      let tokens = await signIn(url, mortal)
      const begun = performance.now()
      const { auth_time } = claimsOf(tokens.access_token)
      await sleep(3200)
      tokens = await turn(tokens, mortal)
      await sleep(3200)
      tokens = await turn(tokens, mortal)
      const { exp } = claimsOf(tokens.access_token)
      t.ok(Number(exp) - Number(auth_time) <= 10, 'an access token does not outlive its session')
      t.ok(tokens.expires_in <= 4, 'and says so')
      expectOAuthError(
        t,
        await tryTurn(idle, mortal),
        'invalid_grant',
        'six seconds without a refresh end a session',
      )
      await sleep(10_300 - (performance.now() - begun))
      expectOAuthError(
        t,
        await tryTurn(tokens, mortal),
        'invalid_grant',
        'ten seconds after the sign-in it ends anyway',
      )
      t.strictSame(eventsOf(tokens), ['sign_in.succeeded'])
      t.equal(await recordOf(tokens), undefined, 'the record is gone')
    })

    t.test('C26 any other spelling of a token, and the store is not even asked', async (t) => {
      const g0 = await signIn(url, strict)
      const token = g0.refresh_token
      const next = (letter: string) =>
        String.fromCharCode(letter.charCodeAt(0) + (/[z9Z_-]/.test(letter) ? -1 : 1))
      const swap = (letter: string) =>
        letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()
      const at = (i: number, change: (letter: string) => string) =>
        token.slice(0, i) + change(token.charAt(i)) + token.slice(i + 1)
      const positions = Array.from(token, (_, i) => i)
      const spellings = new Set([
        ...positions.map((i) => at(i, next)),
        ...positions.map((i) => at(i, swap)),
        ...positions.map((i) => token.slice(0, i)),
        ...positions.map((i) => at(i, () => '')),
        ...['A', '=', '==', ' ', '\n', '\0', '.', token].flatMap((more) => [token + more, more + token]),
        token.replaceAll('-', '+').replaceAll('_', '/').replace(/$/, '='),
        `prt_${Buffer.from(token.slice(4), 'base64url').toString('hex')}`,
        `prt_${token}`,
        token.slice('prt_'.length),
        'prt_',
        'x',
      ])
      spellings.delete(token)
      spellings.delete('')
      const scripts = async () =>
        /cmdstat_evalsha:calls=(\d+)/.exec(String(await deployment.redis?.cli('INFO', 'commandstats')))?.[1]
      const before = await scripts()
      const answers = await Promise.all(
        [...spellings].map((refresh_token) => tryTurn({ ...g0, refresh_token }, strict)),
      )
      const seen = new Set(answers.map(({ status, json }) => `${status} ${json?.error}`))
      t.strictSame([...seen], ['400 invalid_grant'], `${spellings.size} spellings`)
      t.equal(await scripts(), before, 'no script was run on Redis')
      t.equal((await recordOf(g0))?.generation, 0)
      t.ok(await turn(g0, strict), 'the session is untouched')
    })

    t.test('a token of another server', async (t) => {
      const g0 = await signIn(url, strict)
      const handle = readRefreshToken(ring, g0.refresh_token)?.handle ?? Buffer.alloc(25)
      const foreign = { activeId: ring.activeId, macKeys: new Map([[ring.activeId, Buffer.alloc(32, 7)]]) }
      const refresh_token = mintRefreshToken(foreign, { handle, generation: 0 })
      expectOAuthError(t, await tryTurn({ ...g0, refresh_token }, strict), 'invalid_grant', 'another secret')
      const unborn = mintRefreshToken(ring, { handle: Buffer.alloc(25, 7), generation: 0 })
      expectOAuthError(
        t,
        await tryTurn({ ...g0, refresh_token: unborn }, strict),
        'invalid_grant',
        'a session that never was',
      )
      expectOAuthError(
        t,
        await tryTurn({ ...g0, refresh_token: g0.access_token }, strict),
        'invalid_grant',
        'an access token',
      )
      t.ok(await turn(g0, strict))
    })
  })
}

t.test('reuse whose revocation nobody confirms is told all the same', async (t) => {
  const deployment = await deploy(t, 'redis')
  const strict = await deployment.addAccount('strict', { refreshTokenGrace: 0 })
  const { url } = await deployment.startServer()
  // There is no replica: what must be kept is written, and not answered well.
  const server = await deployment.startServer({ REDIS_WAIT_REPLICAS: '1' })
  const g0 = await signIn(url, strict)
  await refresh(url, g0.refresh_token, strict)

  const client = { client_id: strict.client_id }
  expectUnavailable(t, await tryRefresh(server.url, g0.refresh_token, client))
  const reuse = { sid: sidOf(g0), presented: 0, current: 1 }
  await auditEvent(server, 'refresh.reuse', { ...reuse, reason: 'the end of the session is not confirmed' })
  t.match(await deployment.recordOf(sidOf(g0)), { revoked: { reason: 'reuse' } }, 'it was written')
  expectOAuthError(t, await tryRefresh(server.url, g0.refresh_token, client), 'invalid_grant')
  await auditEvent(server, 'refresh.after_revocation', { sid: sidOf(g0), reason: 'reuse' })
  t.equal(auditEvents(server).filter(({ event }) => event === 'refresh.reuse').length, 1)
})
