import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type Test, test } from 'tap'
import { type RedisServer, startRedis } from './redis.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'
import { until } from './until.ts'

let redis: RedisServer

test('a server to stand before', async () => {
  redis = await startRedis()
})

async function clientThroughProxy(t: Test): Promise<{ proxy: TcpProxy; client: Redis }> {
  const proxy = await startProxy(redis.port)
  // With any other number of retries ioredis resends a command whose reply was lost, or forgets it without an answer.
  const client = new Redis(proxy.port, { maxRetriesPerRequest: 0, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(async () => {
    client.disconnect()
    await proxy.stop()
  })
  await client.ping()
  return { proxy, client }
}

test('commands and replies pass', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  const large = 'x'.repeat(1_000_000)
  t.equal(await client.set('large', large), 'OK')
  t.equal(await client.get('large'), large)
  t.equal(proxy.droppedReplies, 0)
})

test('a dropped reply: the server has carried out the command, the client sees a lost connection', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  await redis.cli('DEL', 'counter')
  proxy.dropNextReply()
  await t.rejects(client.incr('counter'))
  t.equal(proxy.droppedReplies, 1)
  t.equal(await redis.cli('GET', 'counter'), '1')
  t.equal(await client.incr('counter'), 2, 'and the next connection is a good one')
})

test('replies come late, in order, while the delay changes', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  await redis.cli('DEL', 'counter')
  proxy.setDelayMs(150)
  const start = performance.now()
  t.equal(await client.incr('counter'), 1)
  t.ok(performance.now() - start >= 145)

  const order: number[] = []
  const incr = async () => order.push(await client.incr('counter'))
  const late = incr()
  await until('the server has answered', async () => (await redis.cli('GET', 'counter')) === '2')
  // And the answer is at the proxy.
  await setImmediate()
  proxy.setDelayMs(0)
  await Promise.all([late, incr()])
  t.strictSame(order, [2, 3])
})

test('cutAll cuts what is open', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  const closed = once(client, 'close')
  proxy.cutAll()
  await closed
  t.equal(await client.ping(), 'PONG', 'and lets it connect again')
})

test('refuse: new connections are refused, open ones stay', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  await proxy.refuse(true)
  await proxy.refuse(true)
  t.equal(await client.ping(), 'PONG')
  const late = new Redis(proxy.port, { lazyConnect: true, retryStrategy: null })
  const refusal = once(late, 'error')
  await t.rejects(late.connect())
  t.match(await refusal, [{ code: 'ECONNREFUSED' }])
  await proxy.refuse(false)
  const again = new Redis(proxy.port)
  t.equal(await again.ping(), 'PONG')
  again.disconnect()
})

test('a server that closes after its last reply: that reply arrives first', async (t) => {
  const { proxy, client } = await clientThroughProxy(t)
  proxy.setDelayMs(100)
  t.equal(await client.quit(), 'OK')
})

test('the server is stopped', () => redis.stop())
