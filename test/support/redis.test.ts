import { existsSync, readdirSync } from 'node:fs'
import { Cluster, Redis } from 'ioredis'
import { test } from 'tap'
import { type RedisServer, startCluster, startRedis, startSentinel } from './redis.ts'
import { until } from './until.ts'

/** Whether a process with this id exists. */
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a standalone server answers, and stop leaves nothing of it', async (t) => {
  const redis = await startRedis()
  const client = redis.client()
  t.equal(await client.set('k', 'v'), 'OK')
  t.equal(await client.get('k'), 'v')
  client.disconnect()
  const { pid, dir } = redis
  await redis.stop()
  t.notOk(lives(pid), 'the process has ended')
  t.notOk(existsSync(dir), 'its folder is gone')
  await t.rejects(redis.cli('PING'), 'and nothing answers')
})

test('two servers at once are apart', async (t) => {
  const [one, other] = await Promise.all([startRedis(), startRedis()])
  t.teardown(() => Promise.all([one.stop(), other.stop()]))
  await one.cli('SET', 'k', 'v')
  t.equal(await other.cli('GET', 'k'), null)
})

test('with an append-only file a killed server comes back with its data', async (t) => {
  const redis = await startRedis({ aof: 'always' })
  t.teardown(() => redis.stop())
  await redis.cli('SET', 'k', 'v')
  const { pid, port } = redis
  await redis.kill()
  t.notOk(lives(pid))
  await redis.restart()
  t.not(redis.pid, pid)
  t.equal(redis.port, port)
  t.equal(await redis.cli('GET', 'k'), 'v')
  await redis.restart()
  t.equal(await redis.cli('GET', 'k'), 'v', 'also after a restart in good order')
})

test('without one it comes back empty, and has written nothing', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.cli('SET', 'k', 'v')
  await redis.restart()
  t.equal(await redis.cli('GET', 'k'), null)
  t.same(readdirSync(redis.dir), ['redis.log'])
})

test('a paused server is silent, a resumed one answers what it was asked meanwhile', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const client = redis.client()
  t.teardown(() => client.disconnect())
  await client.ping()
  redis.pause()
  let answered = false
  const answer = client.set('k', 'v').finally(() => {
    answered = true
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.notOk(answered)
  redis.resume()
  t.equal(await answer, 'OK')
})

test('a paused server can be restarted and stopped', async (t) => {
  const redis = await startRedis()
  redis.pause()
  await redis.restart()
  t.equal(await redis.cli('PING'), 'PONG')
  redis.pause()
  await redis.stop()
  t.notOk(existsSync(redis.dir))
})

test('a password is asked for', async (t) => {
  const redis = await startRedis({ password: 'open-sesame' })
  t.teardown(() => redis.stop())
  await redis.cli('SET', 'k', 'v')
  t.equal(await redis.cli('GET', 'k'), 'v')
  const stranger = new Redis(redis.port, { retryStrategy: null, maxRetriesPerRequest: 0 })
  stranger.on('error', () => {})
  t.teardown(() => stranger.disconnect())
  await t.rejects(stranger.get('k'), { message: /NOAUTH/ })
})

test('TLS holds for those who trust the authority, and for nobody else', async (t) => {
  const redis = await startRedis({ tls: true })
  t.teardown(() => redis.stop())
  t.match(redis.url, /^rediss:\/\/127\.0\.0\.1:/)
  t.ok(existsSync(redis.caFile ?? ''))
  await redis.cli('SET', 'k', 'v')
  t.equal(await redis.cli('GET', 'k'), 'v')
  const mistrusting = new Redis(redis.url, {
    retryStrategy: null,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
  })
  const refusal = new Promise((resolve) => mistrusting.on('error', resolve))
  await t.rejects(mistrusting.connect())
  t.match(await refusal, { message: /self.signed|unable to/ })
})

test('further arguments reach the server', async (t) => {
  const redis = await startRedis({ config: ['--maxmemory', '10mb'] })
  t.teardown(() => redis.stop())
  t.same(await redis.cli('CONFIG', 'GET', 'maxmemory'), ['maxmemory', String(10 * 1024 * 1024)])
})

test('a server that cannot start says why', async (t) => {
  await t.rejects(startRedis({ config: ['--no-such-directive', 'x'] }), { message: /no-such-directive/ })
})

test('Sentinel: a client follows the primary through a failover', async (t) => {
  const deployment = await startSentinel()
  t.teardown(() => deployment.stop())
  const client = new Redis({
    sentinels: deployment.sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
    name: 'mymaster',
  })
  t.teardown(() => client.disconnect())
  client.on('error', () => {})
  const before = await deployment.primary()
  t.equal(await client.set('k', 'before'), 'OK')
  t.equal(await before.cli('GET', 'k'), 'before')

  const after = await deployment.failover()
  t.not(after, before)
  t.equal(await deployment.primary(), after)
  t.equal(await client.get('k'), 'before')
  t.equal(await client.set('k', 'after'), 'OK')
  t.equal(await after.cli('GET', 'k'), 'after')
  t.match(deployment.url, /^redis-sentinel:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+\/mymaster$/)
})

test('Sentinel: a killed primary is replaced without being asked', async (t) => {
  const deployment = await startSentinel({ downAfterMs: 500 })
  t.teardown(() => deployment.stop())
  const before = await deployment.primary()
  await before.kill()
  const after = await until('another primary is named', async () => {
    const named = await deployment.primary()
    return named !== before && named
  })
  t.equal(await after.cli('SET', 'k', 'v'), 'OK')
})

test('Cluster: keys spread over three primaries', async (t) => {
  const deployment = await startCluster()
  t.teardown(() => deployment.stop())
  const client = new Cluster(deployment.nodes.map(({ port }) => ({ host: '127.0.0.1', port })))
  t.teardown(() => client.disconnect())
  for (let index = 0; index < 30; index++) t.equal(await client.set(`k${index}`, index), 'OK')
  for (let index = 0; index < 30; index++) t.equal(await client.get(`k${index}`), String(index))
  const sizes = await Promise.all(
    deployment.nodes.map(async (node: RedisServer) => Number(await node.cli('DBSIZE'))),
  )
  t.equal(
    sizes.reduce((sum, size) => sum + size),
    30,
  )
  t.ok(
    sizes.every((size) => size > 0),
    'each holds some',
  )
  t.match(deployment.url, /^redis-cluster:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+$/)
})
