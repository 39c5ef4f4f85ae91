import { startRedis } from '../support/redis.ts'
import { conformance } from './conformance.ts'

conformance('Redis', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  return redis.url
})
