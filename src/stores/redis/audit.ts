import type { AuditRecord } from '../../audit/event.ts'
import type { AuditTrail } from '../../audit/trail.ts'
import { allSound, damaged, jsonOf } from '../sound-records.ts'
import type { Connection } from './connection.ts'
import { AUDIT_KEY } from './keys.ts'

const PAGE = 500

export function redisAudit({ ask }: Connection): AuditTrail {
  return {
    async append(records, keep) {
      // Sent together, and so in order: they go over one connection.
      await ask((redis) =>
        Promise.all(
          records.map((record) =>
            redis.xadd(AUDIT_KEY, 'MAXLEN', '~', keep, '*', 'event', JSON.stringify(record)),
          ),
        ),
      )
    },
    // No plain function: whoever stands around a store's verbs must see that this one answers bit by bit.
    async *list(after) {
      yield* allSound(readsFrom(after))
    },
  }

  async function* readsFrom(after: string | undefined) {
    for (let from = after === undefined ? '-' : `(${after}`; ; ) {
      const start = from
      const page = await ask((redis) => redis.xrange(AUDIT_KEY, start, '+', 'COUNT', PAGE))
      yield page.map(([cursor, [, json = '']]) => async () => ({ cursor, record: soundRecord(cursor, json) }))
      if (page.length < PAGE) return
      from = `(${page.at(-1)![0]}`
    }
  }
}

/** @throws {UnavailableError} when it is none that we could have written. */
function soundRecord(cursor: string, json: string): AuditRecord {
  const of = `audit event ${cursor}`
  const record = jsonOf(of, json) as AuditRecord | null
  const words: unknown[] = [record?.id, record?.time, record?.event]
  if (words.some((word) => typeof word !== 'string')) throw damaged(of, 'is that of no event')
  return record!
}
