import { randomBytes } from 'node:crypto'
import { cpSync } from 'node:fs'
import type { Test } from 'tap'
import { loadKeys } from '../../src/keys/key-files.ts'
import {
  type AccessTokenClaims,
  signAccessToken,
  type VerifiedAccessToken,
} from '../../src/tokens/access-token.ts'
import {
  familyIdOf,
  locatorOf,
  mintRefreshToken,
  type RefreshSecretRing,
  readRefreshToken,
} from '../../src/tokens/refresh-token.ts'
import { signOnThread } from '../../src/tokens/signing-key.ts'
import { count } from '../support/count.ts'
import { auditEvent, type Deployment, deploy, type StoreKind } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { basic, claimsOf, postForm, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { derivations, readings, ringOf, stealKeys, stealStore, textsIn, windowsOf } from './stolen.ts'

const LOCATOR_BYTES = 9
const RANDOM_BYTES = 16
/** Forgeries that are not only computed but sent to the server, of each kind. */
const SENT = 40
const APP = { client_id: 'app' }

/** Everything that a thief has, and what he is after. */
interface Loot {
  readonly store: readonly Buffer[]
  readonly keys: ReadonlyMap<string, Buffer>
  readonly ring: RefreshSecretRing & { readonly secrets: Buffer[] }
  /** The ids of the sessions: they are in the store, and in every access token. */
  readonly ids: readonly string[]
}

/**
 * Steals the store and the secrets of a deployment, and tries to go on with somebody's session in every way.
 *
 * @param startsServer whether the thief starts a server of his own on what he stole.
 */
export async function steal(t: Test, kind: StoreKind, startsServer: boolean): Promise<void> {
  const deployment = await deploy(t, kind, {
    env: { ISSUER: 'http://localhost:9000', SIGN_IN_FAILURES_PER_NETWORK: '10000' },
    // What is compressed could not be searched.
    redis: { config: ['--rdbcompression', 'no'] },
  })
  await deployment.addClient('app', { scopes: ['read', 'write'] })
  await deployment.addClient('strict', { scopes: ['read'], refreshTokenGrace: 0 })
  const secret = await deployment.addConfidentialClient('web', { scopes: ['read'], mayIntrospect: true })
  const sub = await deployment.addUser('ada', 'the password of ada')
  await deployment.closeStore()
  const server = await deployment.startServer()
  const ada = { username: 'ada', password: 'the password of ada' }

  // A session that is fresh, one within its grace, one of a confidential client, one that was revoked.
  const fresh = await signIn(server.url, { ...APP, ...ada })
  const replaced = await signIn(server.url, { ...APP, ...ada })
  const turned = await refresh(server.url, replaced.refresh_token, APP)
  const web = { client_id: 'web', client_secret: secret }
  const confidential = await signIn(server.url, { ...web, ...ada })
  const revoked = await signIn(server.url, { ...APP, ...ada })
  await postForm(`${server.url}/revoke`, { ...APP, token: revoked.refresh_token })
  const held = await signIn(server.url, { client_id: 'strict', ...ada })
  const sessions = [fresh, turned, confidential, revoked, held]

  const keys = stealKeys(deployment)
  const loot: Loot = {
    store: await stealStore(deployment),
    keys,
    ring: ringOf(keys),
    ids: sessions.map(({ access_token }) => String(claimsOf(access_token).sid)),
  }
  t.ok(
    sessions.every(({ refresh_token }) => readRefreshToken(loot.ring, refresh_token)),
    'the loot is real',
  )
  let attempts = 0
  const present = async (token: string) => {
    attempts += 1
    const answer = await tryRefresh(server.url, token, APP)
    if (answer.status !== 400 || answer.json?.error !== 'invalid_grant')
      t.fail('a forgery is answered otherwise', { token, answer })
  }

  t.test('the store alone: nothing in it is a token, a handle or a secret', async (t) => {
    const texts = textsIn(loot.store)
    t.ok(
      texts.some((text) => text.includes(sub)),
      `${texts.length} texts, the user among them`,
    )
    const spelt = texts.flatMap((text) => [text, `prt_${text}`])
    t.strictSame(
      spelt.filter((text) => readRefreshToken(loot.ring, text)),
      [],
      'none is a refresh token, even to who can verify it',
    )
    attempts += spelt.length
    for (const text of some(spelt)) await present(text)

    const material = readings(loot.store)
    for (const [name, part] of [
      ...loot.ring.secrets.map((one) => ['a secret', one] as const),
      ...[...loot.ring.macKeys.values()].map((one) => ['a MAC key', one] as const),
    ]) {
      t.notOk(
        material.some((octets) => octets.includes(part)),
        `${name} is not in it`,
      )
    }
    const asSecrets = some(texts.filter((text) => /^[\w-]{43}$/.test(text)))
    t.ok(asSecrets.length > 0, 'what verifies a client secret is in it')
    for (const text of asSecrets) {
      for (const guess of [text, `pcs_${text}`]) {
        const answer = await postForm(`${server.url}/introspect`, { token: 'x' }, basic('web', guess))
        t.equal(answer.status, 401, 'and is no client secret')
      }
    }
  })

  t.test('the store and the secrets together give no handle', async (t) => {
    const found = handlesIn(t, loot, [])
    t.strictSame(found.handles, [], 'no run of octets, read or computed, is the handle of a session')
    attempts += found.tried
    // The search finds what is there to be found.
    const planted = Buffer.from(`noise ${fresh.refresh_token} noise`)
    t.equal(handlesIn(t, { ...loot, store: [] }, [planted]).handles.length, 1, 'one that is planted is found')
  })

  t.test('forged under the stolen secret, every token is refused', async (t) => {
    const before = await recordsOf(deployment, loot.ids)
    const guesses = loot.ids.flatMap((id) => guessesOf(id, loot))
    const forged = guesses.map((handle, i) =>
      mintRefreshToken(loot.ring, { handle, generation: [0, 1, 2, 3, 1000][i % 5] ?? 0 }),
    )
    t.ok(
      forged.every((token) => readRefreshToken(loot.ring, token)),
      `${forged.length} authentic tokens`,
    )
    attempts += forged.length
    for (const token of some(forged)) {
      await present(token)
      const seen = await postForm(`${server.url}/introspect`, { ...web, token })
      t.strictSame([seen.status, seen.json], [200, { active: false }])
      t.equal((await postForm(`${server.url}/revoke`, { ...APP, token })).status, 200)
    }
    t.strictSame(await recordsOf(deployment, loot.ids), before, 'no session has felt any of it')
  })

  if (startsServer)
    t.test('a server of the thief’s own, on a copy of the store and the keys', async (t) => {
      const own = await deploy(t, kind, {
        env: { ISSUER: 'http://localhost:9000', SIGN_IN_FAILURES_PER_NETWORK: '10000' },
      })
      cpSync(deployment.env.KEYS_DIR ?? '', own.env.KEYS_DIR ?? '', { recursive: true })
      await copyStore(deployment, own)
      await own.addUser('thief', 'the password of the thief')
      await own.withStore(async (store) => {
        const { passwordHash = '' } = (await store.users.findByUsername('thief')) ?? {}
        await store.users.change(sub, { passwordHash })
      })
      await own.closeStore()
      const stolen = await own.startServer()
      const tokens = await signIn(stolen.url, { ...APP, ...ada, password: 'the password of the thief' })
      t.match(claimsOf(tokens.access_token), { sub, iss: 'http://localhost:9000' }, 'he is ada there')
      const next = await refresh(stolen.url, tokens.refresh_token, APP)
      for (const { refresh_token, access_token } of [tokens, next]) {
        await present(refresh_token)
        for (const token of [refresh_token, access_token]) {
          const seen = await postForm(`${server.url}/introspect`, { ...web, token })
          t.strictSame(seen.json, { active: false }, 'the real server knows nothing of it')
        }
      }
      for (const id of loot.ids)
        for (const handle of guessesOf(id, loot).slice(0, 3)) {
          const token = mintRefreshToken(loot.ring, { handle, generation: 0 })
          expectOAuthError(
            t,
            await tryRefresh(stolen.url, token, APP),
            'invalid_grant',
            'nor can he go on with hers',
          )
        }
    })

  t.test('access tokens forged under the stolen signing key, at introspection', async (t) => {
    const { signing } = await loadKeys(String(deployment.env.KEYS_DIR))
    const { iss, exp, iat, auth_time, sid, scope } = claimsOf(fresh.access_token) as VerifiedAccessToken
    const genuine: AccessTokenClaims = {
      ...{ iss, sub, exp, iat, sid, aud: [iss], clientId: 'app', scope: scope.split(' ') },
      ...{ authTime: Number(auth_time), distinction: 'forged', extra: {}, typ: 'at+jwt' },
    }
    const active = async (change: Partial<AccessTokenClaims>) => {
      attempts += 1
      const token = await signAccessToken(signing.active, signOnThread, { ...genuine, ...change })
      return (await postForm(`${server.url}/introspect`, { ...web, token })).json?.active
    }
    t.equal(await active({}), true, 'one that says of a living session what is so')
    for (const [what, change] of Object.entries<Partial<AccessTokenClaims>>({
      'another user': { sub: 'usr_r66FeX-Ph_6jUTgik7L7oQ' },
      'the user, without a session': { sid: undefined },
      'another client': { clientId: 'strict' },
      'more scope': { scope: [...genuine.scope, 'admin'] },
      'another audience besides': { aud: [iss, 'https://elsewhere.example'] },
      'a revoked session': { sid: loot.ids[3] },
      'a session that never was': { sid: loot.ids[0]?.replace(/.$/, (end) => (end === 'A' ? 'B' : 'A')) },
    }))
      t.equal(await active(change), false, what)
  })

  t.test('what one token of a session and the secret do give, and what ends it', async (t) => {
    const strict = { client_id: 'strict' }
    const later = await refresh(server.url, held.refresh_token, strict)
    const { handle } = readRefreshToken(loot.ring, held.refresh_token) ?? {}
    if (!handle) throw new Error('the token is ours')
    const current = mintRefreshToken(loot.ring, { handle, generation: 1 })
    t.equal(current, later.refresh_token, 'an old token of hers gives the one that she holds')
    t.ok(await refresh(server.url, current, strict), 'and the thief is faster')
    expectOAuthError(t, await tryRefresh(server.url, later.refresh_token, strict), 'invalid_grant')
    t.ok(await auditEvent(server, 'refresh.reuse', { sid: loot.ids[4] }), 'her next refresh tells of him')
    const next = mintRefreshToken(loot.ring, { handle, generation: 2 })
    expectOAuthError(t, await tryRefresh(server.url, next, strict), 'invalid_grant', 'and ends him')
  })

  t.test('afterwards', async (t) => {
    t.ok(await refresh(server.url, fresh.refresh_token, APP), 'every other session goes on')
    t.ok(await refresh(server.url, turned.refresh_token, APP))
    t.ok(await refresh(server.url, confidential.refresh_token, web))
    t.equal(server.stderr, '')
    count(t, { what: 'theft attempts', number: attempts, on: kind })
  })
}

/** Evenly spread, so that it is as many of each kind. */
function some<T>(all: readonly T[]): T[] {
  const step = Math.max(1, Math.floor(all.length / SENT))
  return all.filter((_, i) => i % step === 0).slice(0, SENT)
}

/**
 * Looks for the random half of a handle in all that was stolen, as it is, in whatever spelling, and computed from any
 * of it. Nobody need be asked: the id of a session says whether a handle is its own.
 */
function handlesIn(t: Test, { store, keys, ring, ids }: Loot, more: readonly Buffer[]) {
  const data = [...ids, ...ids.map(locatorOf)].flatMap((text) => [
    Buffer.from(text),
    Buffer.from(text, 'base64url'),
  ])
  const material = [
    ...readings([...store, ...keys.values(), ...more]),
    ...derivations([...ring.secrets, ...keys.values()], data),
  ]
  const windows = windowsOf(material, RANDOM_BYTES)
  const wanted = new Set(ids)
  const handles: Buffer[] = []
  for (const locator of new Set(ids.map(locatorOf))) {
    const handle = Buffer.alloc(LOCATOR_BYTES + RANDOM_BYTES)
    handle.write(locator, 'base64url')
    for (const window of windows) {
      handle.write(window, LOCATOR_BYTES, 'latin1')
      if (wanted.has(familyIdOf(handle))) handles.push(Buffer.from(handle))
    }
  }
  t.ok(windows.size > 0, `${windows.size} candidates`)
  return { handles, tried: windows.size }
}

/** Handles that somebody who knows the id, but not the handle, might try. */
function guessesOf(id: string, { ring }: Loot): Buffer[] {
  const octets = Buffer.from(id, 'base64url')
  const locator = octets.subarray(0, LOCATOR_BYTES)
  const hash = octets.subarray(LOCATOR_BYTES)
  const padded = (byte: number) => [
    Buffer.concat([hash, Buffer.from([byte])]),
    Buffer.concat([Buffer.from([byte]), hash]),
  ]
  const random = [
    ...Array.from({ length: 256 }, (_, byte) => padded(byte)).flat(),
    ...derivations(ring.secrets, [octets, Buffer.from(id), hash]).flatMap((digest) => [
      digest.subarray(0, RANDOM_BYTES),
      digest.subarray(RANDOM_BYTES),
    ]),
    ...Array.from({ length: 8 }, () => randomBytes(RANDOM_BYTES)),
    Buffer.alloc(RANDOM_BYTES),
    Buffer.alloc(RANDOM_BYTES, 0xff),
  ]
  return random.map((part) => Buffer.concat([locator, part]))
}

async function recordsOf(deployment: Deployment, ids: readonly string[]) {
  const records = []
  for (const id of ids) records.push(await deployment.recordOf(id))
  await deployment.closeStore()
  return records
}

async function copyStore(from: Deployment, to: Deployment): Promise<void> {
  if (!from.redis || !to.redis) {
    cpSync(from.dataDir, to.dataDir, { recursive: true })
    return
  }
  const [source, target] = [from.redis.client(), to.redis.client()]
  for (const key of await source.keysBuffer('*')) {
    const dump = await source.dumpBuffer(key)
    if (dump) await target.restore(key, Math.max(0, await source.pttl(key)), dump)
  }
  source.disconnect()
  target.disconnect()
}
