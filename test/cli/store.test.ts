import t from 'tap'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { claimsOf, refresh, signIn, tryRefresh } from '../support/http-client.ts'

const WAYS: readonly [from: StoreKind, into: StoreKind][] = [
  ['lmdb', 'redis'],
  ['redis', 'lmdb'],
]

for (const [from, into] of WAYS) {
  t.test(`store copy, from ${from} to ${into}`, async (t) => {
    const old = await deploy(t, from)
    const next = await deploy(t, into, { env: { KEYS_DIR: String(old.env.KEYS_DIR) } })
    const to = { TO_STORE_URL: String(next.env.STORE_URL) }
    const copied = async () => JSON.parse((await old.cli(['store', 'copy', '--json'], '', to)).stdout)

    const ada = await old.addAccount('ada', { claims: { tier: 'gold' } })
    const eve = await old.addAccount('eve')
    const before = await old.startServer()
    const form = { client_id: 'ada' }
    const g0 = await signIn(before.url, ada)
    const stolen = await signIn(before.url, ada)
    const ofEve = await signIn(before.url, eve)
    t.strictSame(await copied(), { clients: 2, users: 2, sessions: 3, unchanged: 0, clashes: [] })

    // Meanwhile the old servers go on.
    const g1 = await refresh(before.url, g0.refresh_token, form)
    const g2 = await refresh(before.url, g1.refresh_token, form)
    await old.cli(['session', 'revoke', String(claimsOf(stolen.access_token).sid)])
    await old.cli(['user', 'disable', 'eve'])

    const during = await next.startServer()
    const g3 = await refresh(during.url, g2.refresh_token, form)
    t.equal(claimsOf(g3.access_token).sid, claimsOf(g0.access_token).sid, 'the session goes on')
    await during.stop()
    await next.closeStore()

    await before.stop()
    const again = await copied()
    t.match(again, { clients: 0, users: 1, clashes: [] }, 'a second copy brings up to date')
    const after = await next.startServer()
    const g4 = await refresh(after.url, g3.refresh_token, form)
    t.match(claimsOf(g4.access_token), { tier: 'gold', auth_time: claimsOf(g0.access_token).auth_time })
    for (const [token, client_id] of [
      [stolen.refresh_token, 'ada'],
      [ofEve.refresh_token, 'eve'],
    ] as const) {
      t.match(await tryRefresh(after.url, token, { client_id }), { status: 400 }, 'what was ended is ended')
    }
    t.ok(await signIn(after.url, ada), 'the same password')
    await t.rejects(signIn(after.url, eve))

    await old.withStore(async ({ users }) => {
      const found = await users.findByUsername('ada')
      await users.rename(found!, 'lovelace')
    })
    await old.cli(['user', 'delete', 'eve'])
    await old.cli(['client', 'delete', 'eve'])
    const deleted = await old.cli(['store', 'copy'], '', to)
    t.match(deleted, { code: 1, stderr: /The client "eve" is there and not here: left alone\n/ })
    t.match(deleted.stderr, /The user "eve" is there and not here: left alone\n/)
    t.ok(await signIn(after.url, { ...ada, username: 'lovelace' }), 'a new name')
    await t.rejects(signIn(after.url, ada), 'the old one')
  })
}

t.test('store copy takes along the end of a session that is not listed any more', async (t) => {
  const old = await deploy(t, 'redis', { env: { MAX_SESSIONS_PER_USER: '2' } })
  const next = await deploy(t, 'lmdb', { env: { KEYS_DIR: String(old.env.KEYS_DIR) } })
  const to = { TO_STORE_URL: String(next.env.STORE_URL) }
  const ada = await old.addAccount('ada')
  const server = await old.startServer()
  const ended = await signIn(server.url, ada)
  await old.cli(['store', 'copy'], '', to)
  await old.cli(['session', 'revoke', String(claimsOf(ended.access_token).sid)])
  for (let i = 0; i < 3; i += 1) await signIn(server.url, ada)
  await server.stop()
  t.match(await old.cli(['store', 'copy'], '', to), { code: 0 })
  const after = await next.startServer()
  t.match(await tryRefresh(after.url, ended.refresh_token, { client_id: 'ada' }), { status: 400 })
})

t.test('store copy says what is wrong', async (t) => {
  const { cli, env, addUser } = await deploy(t, 'lmdb')
  t.match(await cli(['store', 'copy']), { code: 64, stderr: /TO_STORE_URL, or --to STORE_URL, is missing/ })
  t.match(await cli(['store', 'copy', '--to', 'nonsense:']), { code: 64, stderr: /the other store’s URL / })
  const other = await deploy(t, 'redis')
  const copy = ['store', 'copy', '--to', String(other.env.STORE_URL)]
  t.match(await cli(copy), { code: 1, stderr: /There is no store in / }, 'a name that is mistyped')
  await addUser('ada', 'one of the two of this name')
  t.match(await cli(['store', 'copy', '--to', `${env.STORE_URL}/../data`]), { code: 64, stderr: /itself/ })
  const dead = await cli(['store', 'copy', '--to', 'redis://user:hush@127.0.0.1:1'])
  t.match(dead, { code: 1, stderr: /does not answer/ })
  t.notMatch(dead.stderr, /hush/)

  await other.addUser('Ada', 'the other of the two, alas')
  const clash = await cli(copy)
  t.match(clash, { code: 1, stderr: /"ada" is another user there/ })
})
