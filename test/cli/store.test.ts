import t from 'tap'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { claimsOf, refresh, signIn, tryRefresh } from '../support/http-client.ts'

const WAYS: readonly [from: StoreKind, to: StoreKind][] = [
  ['lmdb', 'redis'],
  ['redis', 'lmdb'],
]

for (const [from, to] of WAYS) {
  t.test(`store copy, from ${from} to ${to}`, async (t) => {
    const old = await deploy(t, from)
    const next = await deploy(t, to, { env: { KEYS_DIR: String(old.env.KEYS_DIR) } })
    const copy = ['store', 'copy', '--json', '--to', String(next.env.STORE_URL)]
    const copied = async () => JSON.parse((await old.cli(copy)).stdout)

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
  })
}

t.test('store copy says what is wrong', async (t) => {
  const { cli, env, addUser } = await deploy(t, 'lmdb')
  t.match(await cli(['store', 'copy']), { code: 64, stderr: /--to STORE_URL is missing/ })
  t.match(await cli(['store', 'copy', '--to', 'nonsense:']), { code: 64, stderr: /--to / })
  t.match(await cli(['store', 'copy', '--to', String(env.STORE_URL)]), { code: 64, stderr: /itself/ })
  const dead = await cli(['store', 'copy', '--to', 'redis://user:hush@127.0.0.1:1'])
  t.match(dead, { code: 1, stderr: /does not answer/ })
  t.notMatch(dead.stderr, /hush/)

  const other = await deploy(t, 'redis')
  await addUser('ada', 'one of the two of this name')
  await other.addUser('Ada', 'the other of the two, alas')
  const clash = await cli(['store', 'copy', '--to', String(other.env.STORE_URL)])
  t.match(clash, { code: 1, stderr: /"ada" is another user there/ })
})
