import type { AuditRecord } from '../../audit/event.ts'
import type { AuditTrail, TrailEntry } from '../../audit/trail.ts'
import { allSound, readSound } from '../sound-records.ts'
import type { Databases } from './store.ts'
import type { Transact } from './writes.ts'

/** The keys are whole numbers, each one more than the last: transactions come one after the other. */
export function lmdbAudit({ audit }: Databases, durably: Transact): AuditTrail {
  const read = (key: number) =>
    readSound(
      `audit event ${key}`,
      () => audit.get(key),
      (record): TrailEntry => ({ cursor: String(key), record: record as AuditRecord }),
    )

  function* readsFrom(start: number) {
    for (const key of audit.getKeys({ start })) yield [async () => read(key)]
  }

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
      yield* allSound(readsFrom(after === undefined ? 0 : Number(after) + 1))
    },
  }
}
