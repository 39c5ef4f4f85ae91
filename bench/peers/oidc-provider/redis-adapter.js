// An adapter as the documentation asks for it, which keeps in Redis what the project's own example for Redis keeps: an
// artifact as JSON under its id, what can be consumed as a hash with a mark beside it, and for each grant the list of its
// artifacts, by which all of them are revoked.
import { Redis } from 'ioredis'

const redis = new Redis(process.env.REDIS_URL, { keyPrefix: 'oidc:' })

const WITH_GRANT = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken'])
const CONSUMABLE = new Set(['AuthorizationCode', 'RefreshToken'])

const listOf = (grantId) => `grant:${grantId}`

export class RedisAdapter {
  #name

  constructor(name) {
    this.#name = name
  }

  async upsert(id, payload, expiresIn) {
    const key = this.#keyOf(id)
    const text = JSON.stringify(payload)
    const listed = WITH_GRANT.has(this.#name) && payload.grantId ? listOf(payload.grantId) : undefined
    const listEndsIn = listed && (await redis.ttl(listed))
    const multi = redis.multi()
    if (CONSUMABLE.has(this.#name)) multi.hset(key, 'payload', text)
    else multi.set(key, text)
    if (expiresIn) multi.expire(key, expiresIn)
    if (listed) {
      multi.rpush(listed, key)
      if (expiresIn > listEndsIn) multi.expire(listed, expiresIn)
    }
    await multi.exec()
  }

  async find(id) {
    const key = this.#keyOf(id)
    if (!CONSUMABLE.has(this.#name)) {
      const text = await redis.get(key)
      return text === null ? undefined : JSON.parse(text)
    }
    const { payload, consumed } = await redis.hgetall(key)
    return payload === undefined ? undefined : { ...JSON.parse(payload), ...(consumed && { consumed }) }
  }

  async consume(id) {
    await redis.hset(this.#keyOf(id), 'consumed', Math.floor(Date.now() / 1000))
  }

  async destroy(id) {
    await redis.del(this.#keyOf(id))
  }

  async revokeByGrantId(grantId) {
    const keys = await redis.lrange(listOf(grantId), 0, -1)
    const multi = redis.multi()
    for (const key of keys) multi.del(key)
    multi.del(listOf(grantId))
    await multi.exec()
  }

  // Interactions and device codes, which are not in play here.
  async findByUid() {}
  async findByUserCode() {}

  #keyOf(id) {
    return `${this.#name}:${id}`
  }
}
