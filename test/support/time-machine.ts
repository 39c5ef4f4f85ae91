import { open, type RootDatabase } from 'lmdb'
import type { Store } from '../../src/stores/contract.ts'
import { lmdbClients } from '../../src/stores/lmdb/clients.ts'
import { lmdbFamilies } from '../../src/stores/lmdb/families.ts'
import { openDatabases } from '../../src/stores/lmdb/store.ts'
import { lmdbUsers } from '../../src/stores/lmdb/users.ts'
import { lmdbWrites } from '../../src/stores/lmdb/writes.ts'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import { familyKey } from '../../src/stores/redis/keys.ts'
import type { Family } from '../../src/tokens/family.ts'
import type { Deployment } from './deployment.ts'
import type { RedisServer } from './redis.ts'

/** What a store's file or memory holds of one family, as it stands. */
export type Snapshot = unknown

/** Does to a family's record what no store verb does: lets time pass for it, and loses its last writes. */
export interface TimeMachine {
  /** The store itself, on the same connection: LMDB must not be opened twice in one process. */
  readonly store: Pick<Store, 'clients' | 'users' | 'families'>
  take(sid: string): Promise<Snapshot>
  putBack(sid: string, snapshot: Snapshot): Promise<void>
  /** Moves the family's times into the past, as if that much time had passed. */
  pass(sid: string, ms: number): Promise<void>
  close(): Promise<void>
}

export async function timeMachine({ redis, dataDir }: Deployment): Promise<TimeMachine> {
  return redis ? ofRedis(redis) : ofLmdb(dataDir)
}

async function ofRedis(redis: RedisServer): Promise<TimeMachine> {
  const client = redis.client()
  const store = await openStore(parseStoreUrl(redis.url), { waitReplicas: 0, onChange: () => undefined })
  await untilReachable(store, 10_000)
  return {
    store,
    async take(sid) {
      const [dump, end] = await Promise.all([
        client.dumpBuffer(familyKey(sid)),
        client.pexpiretime(familyKey(sid)),
      ])
      return { dump, end }
    },
    async putBack(sid, snapshot) {
      const { dump, end } = snapshot as { dump: Buffer; end: number }
      await client.restore(familyKey(sid), end, dump, 'REPLACE', 'ABSTTL')
    },
    async pass(sid, ms) {
      const key = familyKey(sid)
      const end = await client.pexpiretime(key)
      if (end < 0) return
      const lines = (await client.get(key))!.split('\n')
      const fixed = lines[3]!.split(' ')
      // When it began; all other times but a revocation's count from there.
      fixed[3] = (Number.parseInt(fixed[3]!, 36) - ms).toString(36)
      lines[3] = fixed.join(' ')
      await client.set(key, lines.join('\n'), 'PXAT', end - ms)
    },
    async close() {
      client.disconnect()
      await store.close()
    },
  }
}

async function ofLmdb(dataDir: string): Promise<TimeMachine> {
  const root: RootDatabase = open({ path: dataDir, noSubdir: false, maxDbs: 8, overlappingSync: false })
  const databases = openDatabases(root)
  const writes = lmdbWrites(root, dataDir)
  const { durably } = writes
  const families = lmdbFamilies(databases, writes)
  return {
    store: { clients: lmdbClients(databases, durably), users: lmdbUsers(databases, durably), families },
    take: async (sid) => (await families.look(sid)).family,
    async putBack(sid, snapshot) {
      await durably(() => void databases.families.put(sid, snapshot as Family))
    },
    async pass(sid, ms) {
      await durably(() => {
        const family = databases.families.get(sid)
        if (!family) return
        void databases.families.put(sid, {
          ...family,
          rotatedAt: family.rotatedAt - ms,
          createdAt: family.createdAt - ms,
          endsAt: family.endsAt - ms,
          expiresAt: family.expiresAt - ms,
        })
      })
    },
    async close() {
      await writes.finish()
      await root.close()
    },
  }
}
