import type { NetworkStore } from '../contract.ts'
import type { Connection } from './connection.ts'
import { networksKey } from './keys.ts'

export function redisNetworks({ ask }: Connection): NetworkStore {
  return {
    async isKnown(username, digests, ms) {
      const scores = await ask((redis) => redis.zmscore(networksKey(username), ...digests))
      return scores.some((score) => score !== null && Number(score) > Date.now() - ms)
    },
    async note(username, digest, { networks, ms }) {
      await ask((redis) => redis.networkNote(networksKey(username), digest, networks, ms))
    },
  }
}
