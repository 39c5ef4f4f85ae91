import { usernameKey } from '../../accounts/user.ts'
import type { NetworkStore } from '../contract.ts'
import { DamagedRecordError } from '../sound-records.ts'
import type { Connection } from './connection.ts'
import { networksKey } from './keys.ts'
import { typed } from './record.ts'

export function redisNetworks({ ask }: Connection): NetworkStore {
  return {
    async isKnown(username, digests, ms) {
      const scores = await typed(
        `the networks of ${usernameKey(username)}`,
        ask((redis) => redis.zmscore(networksKey(username), ...digests)),
      ).catch((error: unknown) => {
        if (!(error instanceof DamagedRecordError)) throw error
        return []
      })
      return scores.some((score) => score !== null && Number(score) > Date.now() - ms)
    },
    async note(username, digest, { networks, ms }) {
      await ask((redis) => redis.networkNote(networksKey(username), digest, networks, ms))
    },
  }
}
