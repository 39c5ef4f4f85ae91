import type { AuditTrail } from '../../audit/trail.ts'
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
    async *list(after) {
      for (let from = after === undefined ? '-' : `(${after}`; ; ) {
        const start = from
        const page = await ask((redis) => redis.xrange(AUDIT_KEY, start, '+', 'COUNT', PAGE))
        for (const [cursor, [, json = 'null']] of page) {
          yield { cursor, record: JSON.parse(json) }
          from = `(${cursor}`
        }
        if (page.length < PAGE) return
      }
    },
  }
}
