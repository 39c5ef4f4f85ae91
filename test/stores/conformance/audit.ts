import type { Test } from 'tap'
import { type AuditRecord, recordOf } from '../../../src/audit/event.ts'
import type { TrailEntry } from '../../../src/audit/trail.ts'
import type { Store } from '../../../src/stores/contract.ts'

/** A store may keep this many more than it was asked to, where cutting exactly would cost more. */
const SLACK = 100
const KEEP = 10_000

const some = (count: number, name: string): AuditRecord[] =>
  Array.from({ length: count }, (_, i) => recordOf({ event: 'user.changed', sub: `${name} ${i}` }))

async function listOf(store: Store, after?: string): Promise<TrailEntry[]> {
  const entries: TrailEntry[] = []
  for await (const entry of store.audit.list(after)) entries.push(entry)
  return entries
}

const recordsOf = async (...args: Parameters<typeof listOf>) =>
  (await listOf(...args)).map(({ record }) => record)

export async function testAudit(t: Test, store: Store, other: Store): Promise<void> {
  await t.test('records come back in order, as they were, for everyone', async (t) => {
    t.strictSame(await recordsOf(store), [], 'none at first')
    const odd = recordOf({
      event: 'server.started',
      reason: 'a "line"\nand \u2028 more',
      configuration: { PORT: 9000, TRUST_PROXY: ['10.0.0.0/8'] },
      changed: [],
    })
    const first = [...some(3, 'first'), odd]
    await store.audit.append(first, KEEP)
    t.strictSame(await recordsOf(store), first)
    const second = some(2, 'second')
    await other.audit.append(second, KEEP)
    t.strictSame(await recordsOf(store), [...first, ...second])
    t.strictSame(await recordsOf(other), [...first, ...second])
  })

  await t.test('a cursor goes on from where it was', async (t) => {
    const before = await listOf(store)
    const last = before.at(-1)?.cursor
    t.strictSame(await listOf(store, last), [])
    const more = some(2, 'more')
    await other.audit.append(more, KEEP)
    t.strictSame(await recordsOf(store, last), more)
    t.strictSame(await recordsOf(store, before[0]?.cursor), (await recordsOf(store)).slice(1))
  })

  await t.test('more than a page of them, told at once by several', async (t) => {
    const batches = Array.from({ length: 12 }, (_, i) => some(100, `batch ${i}`))
    await Promise.all(batches.map((batch, i) => (i % 2 ? store : other).audit.append(batch, KEEP)))
    const listed = await recordsOf(store)
    for (const batch of batches) {
      const own = listed.filter(({ sub }) => sub?.startsWith(`${batch[0]?.sub?.slice(0, -2)} `))
      t.strictSame(own, batch, 'none is lost, and each one’s are in order')
    }
  })

  await t.test('the oldest go first, beyond what is to be kept', async (t) => {
    const before = await recordsOf(store)
    const added = some(50, 'last')
    for (const record of added) await store.audit.append([record], 200)
    const kept = await recordsOf(other)
    t.ok(kept.length >= 200 && kept.length <= 200 + SLACK, `${kept.length} of ${before.length + 50}`)
    t.strictSame(kept, [...before, ...added].slice(-kept.length))
  })
}
