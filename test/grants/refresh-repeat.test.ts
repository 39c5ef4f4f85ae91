import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { auditEvent, auditEvents, deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, refresh, signIn, type Tokens } from '../support/http-client.ts'

t.jobs = STORE_KINDS.length
for (const kind of STORE_KINDS) {
  t.test(`the repeat of a refresh, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const short = await deployment.addAccount('short', { accessTokenTtl: 1 })
    const server = await deployment.startServer()
    const { url } = server
    const turn = (
      { refresh_token }: Tokens,
      { client_id }: { client_id: string },
      scope?: string,
      agent?: string,
    ) => refresh(url, refresh_token, { client_id, scope }, agent === undefined ? {} : { 'user-agent': agent })

    t.test('the same tokens to the letter, and expires_in says what is left', async (t) => {
      const g0 = await signIn(url, ada)
      const asked = performance.now()
      const first = await turn(g0, ada)
      const answered = performance.now()
      t.equal(first.expires_in, 300)
      let last = first.expires_in
      for (let round = 0; round < 3; round += 1) {
        await sleep(1000)
        const begin = performance.now()
        const { expires_in, ...repeat } = await turn(g0, ada)
        const end = performance.now()
        const { expires_in: _, ...same } = first
        t.strictSame(repeat, same)
        t.ok(expires_in < last, `${expires_in} s left`)
        // A second each way for the rounding.
        const [least, most] = [299 - (end - asked) / 1000, 301 - (begin - answered) / 1000]
        t.ok(expires_in >= least && expires_in <= most, 'about as much as the clock says')
        last = expires_in
      }
    })

    t.test('where the access token is over, a fresh one with the same refresh token', async (t) => {
      const g0 = await signIn(url, short)
      const first = await turn(g0, short)
      await sleep(2100)
      const repeat = await turn(g0, short)
      t.equal(repeat.refresh_token, first.refresh_token)
      t.not(repeat.access_token, first.access_token)
      t.equal(repeat.expires_in, 1)
      t.ok(Number(claimsOf(repeat.access_token).iat) > Number(claimsOf(first.access_token).iat))
    })

    t.test('narrowed differently: the same refresh token, each time the scope that was asked', async (t) => {
      const g0 = await signIn(url, ada)
      const whole = await turn(g0, ada)
      const narrow = await turn(g0, ada, 'read')
      t.equal(narrow.refresh_token, whole.refresh_token)
      t.strictSame([whole.scope, narrow.scope], ['read write', 'read'])
      t.equal(claimsOf(narrow.access_token).scope, 'read')
      t.not(claimsOf(narrow.access_token).jti, claimsOf(whole.access_token).jti)
      t.equal((await turn(g0, ada, 'read')).access_token, narrow.access_token)
      t.equal((await turn(whole, ada)).scope, 'read write', 'the session keeps the grant')
    })

    t.test('at once: one successor', async (t) => {
      const g0 = await signIn(url, ada)
      const all = await Promise.all(Array.from({ length: 20 }, () => turn(g0, ada)))
      const scoped = await Promise.all(Array.from({ length: 10 }, () => turn(g0, ada, 'read')))
      t.equal(new Set([...all, ...scoped].map(({ refresh_token }) => refresh_token)).size, 1)
      t.equal(new Set(all.map(({ access_token }) => access_token)).size, 1)
      const [first] = all
      const both = await Promise.all([turn(first as Tokens, ada, 'read'), turn(first as Tokens, ada)])
      t.equal(
        both[0].refresh_token,
        both[1].refresh_token,
        'also where one looks first and the other does not',
      )
    })

    t.test('a thief in lockstep shows', async (t) => {
      const lockstepsOf = (tokens: Tokens) =>
        auditEvents(server).filter(
          ({ event, sid }) => event === 'refresh.lockstep' && sid === claimsOf(tokens.access_token).sid,
        )
      let tokens = await signIn(url, ada)
      const begun = tokens
      for (let generation = 0; generation < 3; generation += 1) {
        const next = await turn(tokens, ada, undefined, 'owner')
        await turn(tokens, ada, undefined, 'thief')
        await turn(tokens, ada, undefined, 'thief')
        await auditEvent(server, 'refresh.replayed', {
          sid: claimsOf(tokens.access_token).sid,
          presented: generation,
        })
        if (generation === 0) t.strictSame(lockstepsOf(begun), [], 'once may be chance')
        tokens = next
      }
      const { sid } = claimsOf(begun.access_token)
      for (const presented of [1, 2])
        await auditEvent(server, 'refresh.lockstep', { sid, presented, agent: 'thief' })
      t.equal(lockstepsOf(begun).length, 2, 'one event for each generation from the second on')

      tokens = await signIn(url, ada)
      const honest = tokens
      for (let generation = 0; generation < 3; generation += 1) {
        const next = await turn(tokens, ada, undefined, 'owner')
        await turn(tokens, ada, undefined, 'owner')
        tokens = next
      }
      t.strictSame(lockstepsOf(honest), [], 'who repeats his own refreshes is no thief')
    })
  })
}
