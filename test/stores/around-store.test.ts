import { join } from 'node:path'
import t from 'tap'
import { aroundStore } from '../../src/stores/around-store.ts'
import { openStore } from '../../src/stores/open-store.ts'
import { startRedis } from '../support/redis.ts'
import { openHandle } from './handles.ts'
import { someClient } from './records.ts'

t.test('every verb of a store is stood around, and still does what it did', async (t) => {
  const location = { kind: 'lmdb', folder: join(t.testdir(), 'data') } as const
  const store = await openStore(location, { waitReplicas: 0, onChange: () => undefined })
  t.teardown(() => store.close())
  const asked: string[] = []
  const around = aroundStore(store, (verb, question) => {
    asked.push(verb)
    return question()
  })
  const client = someClient()
  t.equal(await around.clients.create(client), true)
  t.strictSame(await around.clients.find(client.clientId), await store.clients.find(client.clientId))
  t.equal((await around.families.look('x'.repeat(32))).family, undefined)
  const listed: string[] = []
  for await (const { clientId } of around.clients.list()) listed.push(clientId)
  t.strictSame(listed, [client.clientId])
  t.strictSame(around.clients.recall(client.clientId), store.clients.recall(client.clientId))
  await around.ping()
  t.strictSame(asked, ['clients.create', 'clients.find', 'families.look'], 'what is asked, by its name')

  const failing = aroundStore(store, async () => Promise.reject(new Error('in between')))
  await t.rejects(failing.users.findByUsername('ada'), { message: 'in between' })
})

t.test('what answers bit by bit does so on either store', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  for (const url of [redis.url, `lmdb:${join(t.testdir(), 'data')}`]) {
    const { clients, users, families } = aroundStore(await openHandle(t, url), (_, question) => question())
    for (const listing of [clients.list(), users.list(), families.listOfClient('web')])
      for await (const one of listing) t.fail('there is nothing', { one })
  }
})
