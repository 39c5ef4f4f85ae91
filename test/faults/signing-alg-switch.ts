import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import type { Test } from 'tap'
import type { RingName } from '../../src/keys/rings.ts'
import { SIGNING_ALGS } from '../../src/tokens/signing-key.ts'
import { auditEvent, deploy } from '../support/deployment.ts'
import { ask, refresh, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'
import { idsIn, jwksOf, passTime, SPREAD, writtenRing } from '../support/key-rings.ts'
import { freePort, type ServerProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'

const ISSUER = 'http://localhost:9000'

const keysAt = async (url: string) =>
  ((await ask(jwksOf({ url }))).json as unknown as JSONWebKeySet | undefined)?.keys ?? []
const algsAt = async (url: string) => (await keysAt(url)).map(({ alg }) => alg)
const algOf = ({ access_token }: Tokens) => String(decodeProtectedHeader(access_token).alg)

/**
 * Clients that refresh without a pause, at whichever server is there; a resource server that goes by the JWKS it has
 * fetched, and one that fetches again when it meets a key it does not know, verify every access token.
 */
async function refreshAt(urls: readonly string[], sessions: readonly Tokens[]) {
  const refused: string[] = []
  const signed: Record<string, number> = {}
  let cached = createLocalJWKSet({ keys: await keysAt(urls[0]!) })
  let goesOn = true
  const finders: Record<string, JWTVerifyGetKey> = {
    'a cache': (...args) => cached(...args),
    jose: createRemoteJWKSet(new URL(jwksOf({ url: urls[0]! })), { cooldownDuration: 0 }),
  }
  const running = sessions.map(async (begun, i) => {
    let tokens = begun
    for (let turn = i; goesOn; turn += 1) {
      const asked = urls[turn % 2]!
      // One of the two is being started again now and then; the balancer in front would send it nothing.
      const answer = await tryRefresh(asked, tokens.refresh_token, { client_id: 'ada' }).catch(
        () => undefined,
      )
      if (!answer || answer.status === 503) continue
      if (answer.status !== 200) return refused.push(`${asked} ${answer.status} ${answer.text}`)
      tokens = answer.json as unknown as Tokens
      const alg = algOf(tokens)
      signed[alg] = (signed[alg] ?? 0) + 1
      for (const [name, find] of Object.entries(finders)) {
        await jwtVerify(tokens.access_token, find, { issuer: ISSUER, algorithms: [...SIGNING_ALGS] }).catch(
          (error: Error) => refused.push(`${name}, ${alg}: ${error.message}`),
        )
      }
      await sleep(40)
    }
    return tokens
  })
  return {
    refused,
    signed,
    /** What a verifier fetches now it goes by for `max-age`. */
    async fetchCached(url: string) {
      cached = createLocalJWKSet({ keys: await keysAt(url) })
    },
    async stop() {
      goesOn = false
      await Promise.all(running)
    },
  }
}

/** The word for the one before is taken away as well: it goes on to sign until the new one may. */
const SWITCHES: readonly [before: string, alg: string, ring: RingName][] = [
  ['RS256', 'ES256', 'signing-es256'],
  ['ES256', 'EdDSA', 'signing-eddsa'],
]

/**
 * Two servers at work whose SIGNING_ALG is changed, one after the other.
 *
 * @param isWhole goes on from ES256 to EdDSA, rotates, goes back, and loses a key.
 */
export async function switchUnderLoad(t: Test, isWhole: boolean): Promise<void> {
  const deployment = await deploy(t, 'redis', { env: { ISSUER } })
  const keysDir = join(deployment.cwd, 'keys')
  const ada = await deployment.addAccount('ada')
  const ports = [await freePort(), await freePort()]
  const startAt = (i: number, SIGNING_ALG: string) =>
    deployment.startServer({ PORT: String(ports[i]), SIGNING_ALG })
  // Until now nobody has said anything of algorithms.
  const servers: ServerProcess[] = [await deployment.startServer({ PORT: String(ports[0]) })]
  servers.push(await startAt(1, 'RS256'))
  const urls = servers.map(({ url }) => url)
  const sessions = await Promise.all(Array.from({ length: 4 }, () => signIn(urls[0]!, ada)))
  const load = await refreshAt(urls, sessions)
  const resting = await signIn(urls[0]!, ada)
  const restart = async (i: number, alg: string) => {
    t.equal(await servers[i]!.stop(), 0)
    servers[i] = await startAt(i, alg)
    return servers[i]!
  }
  const logged = (server: ServerProcess, alg: string) =>
    until(`it says when ${alg} begins`, () =>
      server.lines.find(
        (line) => line.includes('a key of a new algorithm is published') && line.includes(alg),
      ),
    )

  for (const [before, alg, ring] of isWhole ? SWITCHES : SWITCHES.slice(0, 1)) {
    const second = await restart(1, alg)
    const line = JSON.parse(await logged(second, alg))
    t.match(line, { alg, until_then: before, kid: idsIn(keysDir, ring, 'active')[0] })
    const [key] = writtenRing(keysDir, ring)
    t.equal(Date.parse(key!.since) - Date.parse(key!.published), 1000 * SPREAD, 'it waits for everybody')
    t.equal(line.signs_from, key!.since)
    for (const url of urls) await until('both publish it', async () => (await algsAt(url)).includes(alg))
    // As late as may be: what was fetched before that is gone by when it signs.
    await load.fetchCached(urls[0]!)
    const first = await restart(0, alg)
    await logged(first, alg)
    for (const url of urls) t.equal(algOf(await signIn(url, ada)), before, 'until then the one before signs')

    const seen = load.signed[alg] ?? 0
    t.equal(seen, 0, `nothing was signed with ${alg} yet`)
    passTime(keysDir, ring, SPREAD)
    for (const server of [first, second])
      await auditEvent(server, 'key.promoted', { use: 'signing', kid: key!.id })
    for (const url of urls) t.equal(algOf(await signIn(url, ada)), alg)
    await until('the sessions go on with it', () => (load.signed[alg] ?? 0) > 20)
    t.strictSame(load.refused.slice(0, 3), [], `nothing was refused on the way to ${alg}`)
  }

  if (!isWhole) return load.stop()

  await t.test('each ring rotates by itself, and so does one that signs nothing', async (t) => {
    for (const ring of ['signing', 'signing-eddsa'] as const) {
      const said = (await deployment.cli(['keys', 'rotate'], '', { SIGNING_ALG: 'EdDSA' })).stdout
      t.match(said, ring === 'signing' ? 'Added the signing key' : `Nothing more to do for ${ring}`)
      const [next = ''] = idsIn(keysDir, ring, 'next')
      for (const url of urls)
        await until('both publish it', async () => (await keysAt(url)).some(({ kid }) => kid === next))
      await load.fetchCached(urls[1]!)
      passTime(keysDir, ring, SPREAD)
      const alg = ring === 'signing' ? 'RS256' : 'EdDSA'
      const rotate = ['keys', 'rotate', '--use', 'signing', '--alg', alg]
      t.match(await deployment.cli(rotate), { code: 0, stdout: `Promoted the signing key ${next}` })
      // Of a key that signs nothing of theirs the servers have nothing to say.
      if (alg !== 'EdDSA') continue
      for (const server of servers) await auditEvent(server, 'key.promoted', { use: 'signing', kid: next })
      t.equal(decodeProtectedHeader((await signIn(urls[0]!, ada)).access_token).kid, next)
    }
    await sleep(200)
    t.strictSame(load.refused.slice(0, 3), [])
  })

  await t.test('back again: at once, since its key was published all the time', async (t) => {
    await restart(0, 'RS256')
    t.equal(algOf(await signIn(urls[0]!, ada)), 'RS256')
    t.equal(algOf(await signIn(urls[1]!, ada)), 'EdDSA', 'each server as it is told')
    await sleep(200)
    t.strictSame(load.refused.slice(0, 3), [])
  })

  await load.stop()
  t.ok(Object.values(load.signed).every((count) => count > 20))
  t.comment(JSON.stringify(load.signed))
  t.ok(await refresh(urls[1]!, resting.refresh_token, { client_id: 'ada' }), 'a session that rested goes on')

  await t.test('a leak of one algorithm’s key leaves the others', async (t) => {
    const [leaked = ''] = idsIn(keysDir, 'signing-eddsa', 'active')
    const others = idsIn(keysDir, 'signing', 'active')
    const dropped = await deployment.cli(['keys', 'rotate', '--emergency', leaked, '--yes'])
    t.match(dropped, { code: 0, stdout: `Retired the signing key ${leaked}` })
    await until('it is gone', async () => (await keysAt(urls[1]!)).every(({ kid }) => kid !== leaked), 10_000)
    t.strictSame(idsIn(keysDir, 'signing', 'active'), others)
    t.equal(algOf(await signIn(urls[1]!, ada)), 'EdDSA')
    const all = await deployment.cli(['keys', 'rotate', '--emergency', '--use', 'signing', '--yes'])
    t.equal(all.code, 0)
    t.equal(all.stdout.match(/Promoted the signing key/g)?.length, 3, 'every ring has a new one')
  })
}
