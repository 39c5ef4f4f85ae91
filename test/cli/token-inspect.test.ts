import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { loadKeys } from '../../src/keys/key-files.ts'
import { mintRefreshToken, readRefreshToken } from '../../src/tokens/refresh-token.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, refresh, signIn, type Tokens } from '../support/http-client.ts'
import { inLanes } from '../support/in-lanes.ts'

const sidOf = ({ access_token }: Tokens) => String(claimsOf(access_token).sid)

for (const kind of STORE_KINDS) {
  t.test(`pawl token inspect, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, { env: { ISSUER: 'http://localhost:9000' } })
    const { cli } = deployment
    const ada = await deployment.addAccount('ada', { refreshTokenGrace: 3600 })
    const strict = await deployment.addAccount('strict', { refreshTokenGrace: 0 })
    const observer = await deployment.addAccount('observer', { refreshTokenGrace: 0, onReuse: 'observe' })
    const brief = await deployment.addAccount('brief', {
      accessTokenTtl: 1,
      refreshTokenIdleTtl: 1,
      refreshTokenMaxTtl: 1,
    })
    const leaver = await deployment.addAccount('leaver')
    const ended = await deployment.addAccount('ended')
    const disabled = await deployment.addAccount('disabled')
    const { url } = await deployment.startServer()
    const { refresh: ring } = await loadKeys(String(deployment.env.KEYS_DIR))
    const ofGeneration = ({ refresh_token }: Tokens, generation: number) =>
      mintRefreshToken(ring, {
        handle: readRefreshToken(ring, refresh_token)?.handle ?? Buffer.alloc(25),
        generation,
      })
    const done = async (args: string[]) => t.match(await cli(args), { code: 0, stderr: '' }, args.join(' '))
    const turn = ({ refresh_token }: Tokens, client_id: string) => refresh(url, refresh_token, { client_id })

    const expired = await signIn(url, brief)
    const current = await signIn(url, ada)
    const repeated = await signIn(url, ada)
    await turn(repeated, 'ada')
    const stale = await signIn(url, strict)
    await turn(stale, 'strict')
    const observed = await signIn(url, observer)
    await turn(observed, 'observer')
    const revoked = await signIn(url, ada)
    await done(['session', 'revoke', sidOf(revoked)])
    const left = await signIn(url, leaver)
    await done(['user', 'disable', 'leaver'])
    const over = await signIn(url, ended)
    await done(['session', 'revoke', '--client', 'ended'])
    const waiting = await signIn(url, disabled)
    await done(['client', 'disable', 'disabled'])
    await sleep(1200)

    const [header = '', payload = '', signature = ''] = current.access_token.split('.')
    const rows: [name: string, token: string, passes: boolean, because: RegExp][] = [
      ['current', current.refresh_token, true, /current one; a refresh would rotate/],
      ['repeat', repeated.refresh_token, true, /predecessor.*same successor/],
      ['reuse', stale.refresh_token, false, /would be reuse, and end the session/],
      ['reuse, observed', observed.refresh_token, true, /only observes/],
      ['ahead', ofGeneration(current, 7), true, /would heal it/],
      ['too far ahead', ofGeneration(current, 5000), false, /too far ahead/],
      ['revoked', revoked.refresh_token, false, /was revoked/],
      ['user disabled', left.refresh_token, false, /user was disabled/],
      ['client signed out', over.refresh_token, false, /every session of its client was ended/],
      ['client disabled', waiting.refresh_token, false, /its client disabled is disabled or deleted/],
      ['expired', expired.refresh_token, false, /expired/],
      [
        'forged',
        `${current.refresh_token.slice(0, -1)}${current.refresh_token.endsWith('A') ? 'B' : 'A'}`,
        false,
        /to the letter/,
      ],
      ['no token', 'prt_', false, /to the letter/],
      ['access', current.access_token, true, /its session lives/],
      ['access, session ended', revoked.access_token, true, /though its session has ended/],
      ['access, client signed out', over.access_token, true, /though its session has ended/],
      ['access, expired', expired.access_token, false, /exp/],
      ['access, forged', `${header}.${payload}.${signature.slice(0, -4)}AAAA`, false, /signature/],
      [
        'access, other key',
        `${Buffer.from('{"alg":"RS256","kid":"x","typ":"at+jwt"}').toString('base64url')}.${payload}.${signature}`,
        false,
        /no published key/,
      ],
      [
        'access, alg none',
        `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`,
        false,
        /"alg"/,
      ],
      ['nothing of the kind', 'hello', false, /neither a refresh token nor a JWT/],
    ]
    await t.test('says whether it would pass, and why', async (t) => {
      await inLanes(rows, async ([name, token, passes, because]) => {
        const { code, stdout, stderr } = await cli(['token', 'inspect', token, '--json'])
        t.strictSame([code, stderr], [passes ? 0 : 1, ''], `${name}: exit code`)
        const finding = JSON.parse(stdout)
        t.match(finding, { passes, because }, name)
        const kinds = token.startsWith('prt_')
          ? 'refresh token'
          : token === 'hello'
            ? 'unknown'
            : 'access token'
        t.equal(finding.kind, kinds, `${name}: what it is`)
        t.notOk(stdout.includes(token), `${name}: the token itself is not printed`)
      })
    })

    t.test('for a person, from standard input', async (t) => {
      const told = await cli(['token', 'inspect', '-'], `${current.refresh_token}\n`)
      t.match(told, { code: 0, stdout: /^refresh token: passes: it is the current one/ })
      t.ok(told.stdout.includes(sidOf(current)), 'with the session')
      const access = await cli(['token', 'inspect', '-'], current.access_token)
      t.match(access, { code: 0, stdout: /^access token: passes: [\s\S]*"client_id": "ada"/ })
    })

    t.test('without using it', async (t) => {
      const { family } = await deployment.withStore((store) => store.families.look(sidOf(stale)))
      t.match(family, { generation: 1, replays: 0 })
      t.notOk(family?.revoked)
      t.ok(await turn(current, 'ada'))
    })

    t.test('by another issuer’s configuration', async (t) => {
      const { code, stdout } = await deployment.cli(['token', 'inspect', current.access_token], '', {
        ISSUER: 'http://localhost:9999',
      })
      t.match({ code, stdout }, { code: 1, stdout: /iss/ })
    })
  })
}
