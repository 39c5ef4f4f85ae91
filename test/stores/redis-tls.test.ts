import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { startRedis } from '../support/redis.ts'
import { openHandle } from './handles.ts'

const SUITE = fileURLToPath(new URL('./conformance-at-url.js', import.meta.url))

test('Redis over TLS, with a password', async (t) => {
  const redis = await startRedis({ tls: true, password: 'open-sesame' })
  t.teardown(() => redis.stop())
  const mistrusted = openHandle(t, redis.url, { limitMs: 500 })
  await t.rejects(mistrusted, { name: 'UnavailableError' }, 'a certificate that nobody vouches for')
  // Node reads this variable when it starts, and only then.
  const env = { ...process.env, STORE_URL: redis.url, NODE_EXTRA_CA_CERTS: redis.caFile ?? '' }
  await t.spawn(process.execPath, [SUITE], { env }, 'with the authority that made it')
})
