import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import getJwks from 'get-jwks'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  importJWK,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import t from 'tap'
import { mintRefreshToken, newHandle, refreshMacKey } from '../../src/tokens/refresh-token.ts'
import { auditEvent, auditEvents, type Deployment, deploy } from '../support/deployment.ts'
import { expectOAuthError, expectUnavailable } from '../support/expect.ts'
import { ask, refresh, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'
import { idsIn, jwksOf, passTime, ringFileOf, SPREAD } from '../support/key-rings.ts'
import { isStoreLate } from '../support/late-store.ts'
import type { ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'

const ISSUER = 'http://localhost:9000'

const kidsOf = async (server: ServerProcess) => {
  const { keys } = (await ask(jwksOf(server))).json as unknown as JSONWebKeySet
  return keys.map(({ kid = '' }) => kid)
}
const kidOf = ({ access_token }: Tokens) => decodeProtectedHeader(access_token).kid

/** How resource servers find a key: each by its own rule of when to fetch. */
function verifiersOf([first, second]: readonly [ServerProcess, ServerProcess]) {
  const library = getJwks({ max: 10, ttl: 600_000 })
  // Goes by what it has fetched and by nothing else, whatever it meets.
  let cached: JWTVerifyGetKey | undefined
  return {
    async fetchCached() {
      const { keys } = (await ask(jwksOf(second))).json as unknown as JSONWebKeySet
      cached = createLocalJWKSet({ keys })
    },
    finders: {
      // The half minute between two fetches would be over: twelve minutes pass here in a second.
      jose: createRemoteJWKSet(new URL(jwksOf(first)), { cooldownDuration: 0 }),
      'get-jwks': async ({ kid = '', alg = '' }) =>
        importJWK(
          (await library.getJwk({ domain: first.url, alg, kid })) as Parameters<typeof importJWK>[0],
          alg,
        ),
      'a cache': (...args) => cached!(...args),
    } satisfies Record<string, JWTVerifyGetKey>,
  }
}

/** Clients that refresh without a pause, at one server and the other; every access token is verified everywhere. */
function refreshOn(
  servers: readonly [ServerProcess, ServerProcess],
  sessions: readonly Tokens[],
  finders: Readonly<Record<string, JWTVerifyGetKey>>,
) {
  const counts = { refreshes: 0, verifications: 0 }
  const refused: { kid?: string | undefined; by: string }[] = []
  let goesOn = true
  const running = sessions.map(async (begun, i) => {
    let tokens = begun
    for (let turn = i; goesOn; turn += 1) {
      const server = servers[turn % 2] as ServerProcess
      const answer = await tryRefresh(server.url, tokens.refresh_token, { client_id: 'ada' })
      if (isStoreLate(answer)) continue
      if (answer.status !== 200) {
        refused.push({ by: `${server.url} ${answer.status} ${answer.text}` })
        return tokens
      }
      tokens = answer.json as unknown as Tokens
      counts.refreshes += 1
      for (const [name, find] of Object.entries(finders)) {
        await jwtVerify(tokens.access_token, find, { issuer: ISSUER, algorithms: ['RS256'] }).then(
          () => {
            counts.verifications += 1
          },
          (error: Error) => refused.push({ kid: kidOf(tokens), by: `${name}: ${error.message}` }),
        )
      }
      await sleep(20)
    }
    return tokens
  })
  return {
    counts,
    refused,
    async stop() {
      goesOn = false
      return Promise.all(running)
    },
  }
}

async function startTwo(deployment: Deployment, env: Record<string, string> = {}) {
  return [await deployment.startServer(env), await deployment.startServer(env)] as const
}

t.test(
  'two servers, clients that refresh, verifiers that cache: keys are rotated, and nobody notices',
  async (t) => {
    const deployment = await deploy(t, 'redis', { env: { ISSUER } })
    const keysDir = join(deployment.cwd, 'keys')
    const ada = await deployment.addAccount('ada')
    const servers = await startTwo(deployment)
    const [first, second] = servers
    const pawl = async (line: string) => {
      const result = await deployment.cli(line.split(' '))
      t.equal(result.code, 0, `${line}: ${result.stderr}`)
      return result.stdout
    }
    const atStart = {
      kid: (await kidsOf(first))[0] ?? '',
      secret: idsIn(keysDir, 'refresh', 'active')[0] ?? '',
    }
    const [resting, resting2, ...sessions] = await Promise.all(
      Array.from({ length: 6 }, () => signIn(first.url, ada)),
    )
    const { finders, fetchCached } = verifiersOf(servers)
    await fetchCached()
    const load = refreshOn(servers, sessions, finders)

    const ROTATIONS = 3
    for (let rotation = 1; rotation <= ROTATIONS; rotation += 1) {
      const etag = (await ask(jwksOf(first))).headers.etag
      await pawl('keys rotate')
      const [next = ''] = idsIn(keysDir, 'signing', 'next')
      for (const server of servers)
        await until('the next key is published', async () => (await kidsOf(server)).includes(next))
      if (rotation === 1) t.not((await ask(jwksOf(first))).headers.etag, etag, 'the ETag is another')
      // As late as may be: what is fetched now is gone by until just before the key signs.
      await fetchCached()
      for (const use of ['signing', 'refresh'] as const) passTime(keysDir, use, SPREAD)
      t.match(await pawl('keys rotate'), `Promoted the signing key ${next}`)
      for (const server of servers) await auditEvent(server, 'key.promoted', { use: 'signing', kid: next })
      await sleep(300)
    }
    t.strictSame(load.refused.slice(0, 3), [], 'nothing was refused')
    t.ok(load.counts.refreshes > 50 && load.counts.verifications >= 3 * load.counts.refreshes - 15)
    t.comment(`${load.counts.refreshes} refreshes, ${load.counts.verifications} verifications`)
    for (const use of ['signing', 'refresh']) {
      const promotions = () =>
        auditEvents(first).filter((line) => line.event === 'key.promoted' && line.use === use)
      await until('every promotion is told', () => promotions().length >= ROTATIONS)
      t.equal(promotions().length, ROTATIONS, `${use}: once`)
    }

    await t.test('a session that rested meanwhile goes on', async (t) => {
      const tokens = await refresh(second.url, resting!.refresh_token, { client_id: 'ada' })
      t.equal(kidOf(tokens), idsIn(keysDir, 'signing', 'active')[0])
      t.ok(await jwtVerify(resting!.access_token, finders.jose), 'its old access token verifies')
      t.ok(await refresh(first.url, tokens.refresh_token, { client_id: 'ada' }))
    })

    await t.test('a signing key that leaks is gone within seconds, and sessions go on', async (t) => {
      const [leaked = ''] = idsIn(keysDir, 'signing', 'active')
      const [heir = ''] = idsIn(keysDir, 'signing', 'next')
      const before = await signIn(first.url, ada)
      t.equal(kidOf(before), leaked)
      // It was published long ago, as a standing next key is.
      await until('the heir is published', async () => (await kidsOf(second)).includes(heir))
      await fetchCached()
      const said = await pawl(`keys rotate --emergency ${leaked} --yes`)
      t.match(said, `Promoted the signing key ${heir}`)
      t.match(said, `Retired the signing key ${leaked}`)
      const begin = performance.now()
      for (const server of servers)
        await until('it is out of the JWKS', async () => !(await kidsOf(server)).includes(leaked), 10_000)
      t.comment(`gone from both after ${Math.round(performance.now() - begin)} ms`)
      await t.rejects(
        jwtVerify(before.access_token, createRemoteJWKSet(new URL(jwksOf(first)))),
        { code: 'ERR_JWKS_NO_MATCHING_KEY' },
        'who fetches the JWKS refuses its tokens',
      )
      const after = await refresh(second.url, before.refresh_token, { client_id: 'ada' })
      t.equal(kidOf(after), heir)
      await sleep(300)
      const others = load.refused.splice(0).filter(({ kid }) => kid !== leaked)
      t.strictSame(others.slice(0, 3), [], 'and no token of another key is refused')
    })

    await t.test('a secret that leaks ends the sessions under it, and no other', async (t) => {
      t.ok(idsIn(keysDir, 'refresh', 'retiring').includes(atStart.secret))
      await pawl(`keys rotate --emergency ${atStart.secret} --yes`)
      for (const server of servers)
        await auditEvent(server, 'key.retired', { use: 'refresh', kid: atStart.secret })
      const answer = await tryRefresh(first.url, resting2!.refresh_token, { client_id: 'ada' })
      expectOAuthError(t, answer, 'invalid_grant')
      await sleep(300)
      t.strictSame(load.refused.slice(0, 3), [], 'those who have refreshed since are under another')
      const before = load.counts.refreshes
      await until('they go on', () => load.counts.refreshes > before)
    })

    await t.test(
      'when every secret has leaked, every session ends, and the next sign-in is known to all',
      async (t) => {
        const [someone] = await load.stop()
        await pawl('keys rotate --emergency --use refresh --yes')
        const [active = ''] = idsIn(keysDir, 'refresh', 'active')
        await auditEvent(first, 'key.promoted', { use: 'refresh', kid: active })
        // The other server may not have looked yet; it looks before it refuses.
        const fresh = await signIn(first.url, ada)
        const next = await refresh(second.url, fresh.refresh_token, { client_id: 'ada' })
        t.ok(await refresh(first.url, next.refresh_token, { client_id: 'ada' }))
        expectOAuthError(
          t,
          await tryRefresh(second.url, someone!.refresh_token, { client_id: 'ada' }),
          'invalid_grant',
        )
      },
    )
    for (const server of servers) t.equal(await server.stop(), 0, 'the servers ran all the time')
  },
)

t.test('servers rotate unattended, and agree', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { ISSUER, KEY_ROTATION_INTERVAL: '3600' } })
  const keysDir = join(deployment.cwd, 'keys')
  const ada = await deployment.addAccount('ada')
  const servers = await startTwo(deployment)
  const begun = await signIn(servers[0].url, ada)
  for (const server of servers)
    await until('there is a next key', async () => (await kidsOf(server)).length === 2)
  const [next = ''] = idsIn(keysDir, 'signing', 'next')
  for (const use of ['signing', 'refresh'] as const) passTime(keysDir, use, 3600)
  for (const server of servers) {
    await auditEvent(server, 'key.promoted', { use: 'signing', kid: next })
    await until('and there is one more', async () => (await kidsOf(server)).length === 3)
    t.equal(kidOf(await signIn(server.url, ada)), next)
  }
  t.equal(idsIn(keysDir, 'signing', 'next').length, 1, 'one more, not one of each server')
  t.ok(await refresh(servers[1].url, begun.refresh_token, { client_id: 'ada' }))
})

t.test('a server that cannot read the keys goes on by those it has', async (t) => {
  const deployment = await deploy(t, 'redis', { env: { ISSUER } })
  const keysDir = join(deployment.cwd, 'keys')
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  const begun = await signIn(server.url, ada)
  const path = ringFileOf(keysDir, 'signing')
  const good = readFileSync(path)
  writeFileSync(path, 'x')
  const line = await until('it says so', () => server.lines.find((line) => line.includes('cannot be read')))
  t.match(JSON.parse(line), { level: 50, reason: `${path} is no list of keys` })
  t.equal((await ask(`${server.managementUrl}/health/ready`)).status, 200, 'it is ready')
  t.equal((await kidsOf(server)).length, 1)
  const next = await refresh(server.url, begun.refresh_token, { client_id: 'ada' })

  // Meanwhile others have gone on to a secret that this one does not know.
  const secret = JSON.parse((await deployment.cli(['keys', 'generate', '--use', 'refresh', '--json'])).stdout)
  const macKey = refreshMacKey(
    Buffer.from(readFileSync(join(keysDir, 'refresh', `${secret.id}.key`), 'utf8').trim(), 'base64url'),
  )
  const theirs = mintRefreshToken(
    { activeId: secret.id, macKeys: new Map([[secret.id, macKey]]) },
    { handle: newHandle('bG9jYXRvciEh'), generation: 0 },
  )
  expectUnavailable(t, await tryRefresh(server.url, theirs, { client_id: 'ada' }), 'it cannot tell')
  expectOAuthError(
    t,
    await tryRefresh(server.url, `prt_${'A'.repeat(87)}`, { client_id: 'ada' }),
    'invalid_grant',
  )

  writeFileSync(path, good)
  await until('it can read them again', () => server.lines.some((line) => line.includes('can be read again')))
  expectOAuthError(t, await tryRefresh(server.url, theirs, { client_id: 'ada' }), 'invalid_grant')
  t.ok(await refresh(server.url, next.refresh_token, { client_id: 'ada' }))
})
