import type { AuditTrail } from '../../audit/trail.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** The keys are whole numbers, each one more than the last: transactions come one after the other. */
export function lmdbAudit({ audit }: Databases, durably: Transact): AuditTrail {
  return {
    append: (records, keep) =>
      durably(() => {
        let last = 0
        for (const key of audit.getKeys({ reverse: true, limit: 1 })) last = key
        for (const record of records) {
          last += 1
          void audit.put(last, record)
        }
        for (const key of [...audit.getKeys({ end: last - keep + 1 })]) void audit.remove(key)
      }),
    async *list(after) {
      audit.resetReadTxn()
      const range = after === undefined ? {} : { start: Number(after) + 1 }
      for (const { key, value } of audit.getRange(range)) yield { cursor: String(key), record: value }
    },
  }
}
