import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, refresh, signIn } from '../support/http-client.ts'

const headerOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())

for (const kind of STORE_KINDS) {
  t.test(`C42 access tokens, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const short = await deployment.addAccount('short', {
      accessTokenTtl: 7,
      audiences: ['https://one.example'],
    })
    const many = await deployment.addAccount('many', { audiences: ['https://one.example', 'two'] })
    const servers = [
      await deployment.startServer(),
      await deployment.startServer({ DEFAULT_AUDIENCE: 'api' }),
    ] as const
    const [{ url, port }, other] = servers
    const issuer = `http://localhost:${port}`

    t.test('the claims of RFC 9068', async (t) => {
      const before = Math.floor(Date.now() / 1000)
      const { access_token, expires_in } = await signIn(url, ada, 'read')
      const after = Math.floor(Date.now() / 1000)
      t.strictSame(Object.keys(headerOf(access_token)).sort(), ['alg', 'kid', 'typ'])
      t.match(headerOf(access_token), { alg: 'RS256', typ: 'at+jwt', kid: /^[\w-]{43}$/ })
      const claims = claimsOf(access_token)
      t.strictSame(Object.keys(claims).sort(), [
        'aud',
        'auth_time',
        'client_id',
        'exp',
        'iat',
        'iss',
        'jti',
        'scope',
        'sid',
        'sub',
      ])
      t.match(claims, {
        iss: issuer,
        aud: issuer,
        client_id: 'ada',
        scope: 'read',
        sid: /^[\w-]{32}$/,
        jti: /^[\w-]{22}$/,
      })
      t.match(claims.sub, /^usr_[\w-]{22}$/, 'sub is opaque')
      const { iat, exp, auth_time } = claims as Record<string, number>
      t.ok(Number(iat) >= before && Number(iat) <= after, 'iat is now')
      t.equal(Number(exp) - Number(iat), 300)
      t.equal(expires_in, 300)
      t.equal(auth_time, iat)
    })

    t.test('audience and lifetime are the client’s where it has its own', async (t) => {
      const aud = async (server: { url: string }, account: typeof ada) =>
        claimsOf((await signIn(server.url, account)).access_token).aud
      t.equal(await aud(servers[0], short), 'https://one.example', 'a string when one')
      t.strictSame(await aud(servers[0], many), ['https://one.example', 'two'], 'an array when several')
      t.equal(await aud(other, ada), 'api', 'DEFAULT_AUDIENCE')
      const { access_token, expires_in } = await signIn(url, short)
      const { iat, exp } = claimsOf(access_token) as Record<string, number>
      t.equal(Number(exp) - Number(iat), 7)
      t.equal(expires_in, 7)
    })

    t.test('jti and sid are unique, sub is stable, on every server', async (t) => {
      const rounds = Array.from({ length: 6 }, (_, i) => servers[i % 2]?.url ?? url)
      const sessions = await Promise.all(rounds.map((server) => signIn(server, ada)))
      const next = await Promise.all(
        sessions.map(({ refresh_token }, i) =>
          refresh(rounds[(i + 1) % 2] ?? url, refresh_token, { client_id: 'ada' }),
        ),
      )
      const claims = [...sessions, ...next].map(({ access_token }) => claimsOf(access_token))
      t.equal(new Set(claims.map(({ jti }) => jti)).size, 12)
      t.equal(new Set(claims.map(({ sid }) => sid)).size, 6)
      t.equal(new Set(claims.map(({ sub }) => sub)).size, 1)
    })

    t.test('C28 auth_time stays that of the sign-in', async (t) => {
      let tokens = await signIn(url, ada)
      const first = claimsOf(tokens.access_token)
      for (let round = 0; round < 3; round += 1) {
        await new Promise((resolve) => setTimeout(resolve, 700))
        tokens = await refresh(url, tokens.refresh_token, { client_id: 'ada' })
      }
      const last = claimsOf(tokens.access_token)
      t.ok(Number(last.iat) > Number(first.iat), 'iat is that of the refresh')
      t.strictSame([last.auth_time, last.sid, last.sub], [first.auth_time, first.sid, first.sub])
    })
  })
}
