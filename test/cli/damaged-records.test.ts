import { join } from 'node:path'
import { open } from 'lmdb'
import t from 'tap'
import { userLocator } from '../../src/accounts/user.ts'
import { Records } from '../../src/stores/lmdb/records.ts'
import { longestIdle } from '../../src/stores/longest-idle.ts'
import { MAX_LIFE_S } from '../../src/stores/sound-records.ts'
import { signedIn, someClient, someFamily, someUser } from '../stores/records.ts'
import { type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'

const words = (line: string) => line.split(' ')

/** Writes what no store of ours would: a member of another type, or for a session no form at all. */
async function spoil(
  { redis, dataDir, closeStore }: Deployment,
  what: 'client' | 'user' | 'session',
  id: string,
) {
  await closeStore()
  if (redis) {
    if (what === 'session')
      await redis.cli('SET', `pawl:f:{${id.slice(0, 12)}}${id.slice(12)}`, 'x', 'KEEPTTL')
    else await redis.cli('HSET', what === 'client' ? `pawl:c:${id}` : `pawl:u:{${id}}`, 'epoch', '"x"')
    return
  }
  const root = open({ path: dataDir, noSubdir: false, maxDbs: 32, overlappingSync: false })
  const name = what === 'session' ? 'families' : `${what}s`
  const database = new Records(name, root.openDB<object, string>({ name }))
  await database.put(id, { ...database.get(id), epoch: 'x', generation: 'x' })
  await root.close()
}

for (const kind of STORE_KINDS) {
  t.test(`the commands, where a record is damaged on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli, withStore } = deployment
    const { app, ada, bad, lost } = await withStore(async (store) => {
      const app = someClient({ clientId: 'app' })
      for (const client of [app, someClient({ clientId: 'bad' })]) await store.clients.create(client)
      const { user: ada } = await signedIn(store, { clientId: 'app', clientEpoch: app.epoch })
      const lost = someFamily(ada, { clientId: 'app' })
      await store.families.create(lost)
      const bad = someUser({ username: 'bad' })
      await store.users.create(bad)
      return { app, ada, bad, lost }
    })
    await spoil(deployment, 'client', 'bad')
    await spoil(deployment, 'user', userLocator(bad.sub))
    await spoil(deployment, 'session', lost.id)

    await t.test('list and do what they can, and name it', async (t) => {
      const rows: [line: string, shows: RegExp, names: RegExp][] = [
        ['client list', /^app /m, /the record of client bad has a epoch that cannot be/],
        ['user list', /^Ada /m, /the record of the user at /],
        ['user list --limit 5', /^Ada /m, /the record of the user at /],
        ['session list --client app', / app .* active /, /the record of session /],
        ['session revoke --all', /^Every session of 1 clients has ended$/m, /client bad/],
      ]
      for (const [line, stdout, stderr] of rows)
        t.match(await cli(words(line)), { code: 1, stdout, stderr }, line)
      const listed = await cli(['session', 'list', '--user', ada.username, '--json'])
      t.match(listed, { code: 1, stdout: /"state":"revoked \(client\)"/, stderr: /the record of session / })
      await withStore(async ({ clients }) => {
        t.not((await clients.find('app'))?.epoch, app.epoch, 'its sessions have ended')
        const told: unknown[] = []
        const idle = await longestIdle(clients, 60, (fault) => told.push(fault))
        t.strictSame([idle, told.length], [MAX_LIFE_S, 1], 'secrets are rotated, and kept for long')
      })
    })

    await t.test('store copy copies all others', async (t) => {
      const copied = await cli(['store', 'copy', '--json', '--to', `lmdb:${join(deployment.cwd, 'other')}`])
      t.match(copied, { code: 1 })
      const { clashes, ...counts } = JSON.parse(copied.stdout)
      t.strictSame(counts, { clients: 1, users: 1, sessions: 1, unchanged: 0 })
      t.equal(clashes.length, 3, clashes.join('\n'))
    })

    await t.test('it can be deleted, and made anew', async (t) => {
      t.match(await cli(words('user disable bad')), { code: 1, stderr: /is damaged/ })
      t.match(await cli(words('client disable bad')), { code: 1, stderr: /is damaged/ })
      t.match(await cli(words('user delete bad')), { code: 0, stderr: '' })
      t.match(await cli(words('client delete bad')), { code: 0, stderr: '' })
      t.match(await cli(words('client delete bad')), { code: 1, stderr: /There is no client "bad"/ })
      await withStore(async ({ users, clients }) => {
        t.equal(await users.create(someUser({ username: 'bad' })), 'created')
        t.equal(await clients.create(someClient({ clientId: 'bad' })), true)
      })
      t.match(await cli(['client', 'list']), { code: 0, stderr: '' })
      t.match(await cli(['user', 'list']), { code: 0, stderr: '' })
    })
  })
}
