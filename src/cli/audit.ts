import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from '../audit/event.ts'
import type { TrailEntry } from '../audit/trail.ts'
import type { Store } from '../stores/contract.ts'
import { type DamagedRecordError, passingOver } from '../stores/sound-records.ts'
import { type Arguments, type Command, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { table } from './table.ts'
import { withStore } from './with-store.ts'

/** How often the trail is looked at while it is followed. */
const LOOK_EVERY_MS = 500
const MILLISECONDS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const list: Command = {
  name: 'audit list',
  operands: '',
  summary: 'list the latest audit events of every server and command on the store, the oldest first',
  details:
    'The store keeps the last AUDIT_STREAM_LENGTH events. docs/audit-events.md says what each of them means.\n' +
    '--since takes a time such as 2026-11-20T08:00Z, or a number with s, m, h or d: 30m is the last half hour.',
  options: {
    user: { type: 'string', value: 'NAME', help: 'only of this user; of a deleted one by its sub' },
    session: { type: 'string', value: 'ID', help: 'only of this session' },
    since: { type: 'string', value: 'TIME', help: 'only from then on' },
    follow: { type: 'boolean', help: 'go on with what comes, until stopped' },
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    noOperands(args)
    const { print, tell, untilStopped } = surroundings
    const since = readSince(args)
    await withStore(surroundings, async (store) => {
      const isWanted = await filterOf(store, args, since)
      const { json, follow } = args.values
      // One after the other where more may come; columns can be laid out only when all are there.
      const show = json
        ? (record: AuditRecord) => print(JSON.stringify(record))
        : (record: AuditRecord) => print(rowOf(record).join('  '))
      const found: AuditRecord[] = []
      let fault: DamagedRecordError | undefined
      const entries = (after?: string) =>
        passingOver(store.audit.list(after), (damage) => {
          const { message } = damage.cause as Error
          const told = (fault?.cause as Error | undefined)?.message
          // Who follows is not kept waiting for the end, and hears of each once, however often it is met.
          if (follow && message !== told) tell(`Damaged, not listed: ${message}`)
          fault = damage
        })
      const cursor = await read(entries(), (record) => {
        if (!isWanted(record)) return
        if (json || follow) show(record)
        else found.push(record)
      })
      if (!json && !follow) for (const line of table(HEADER, found.map(rowOf))) print(line)
      if (follow) await followOn(entries, cursor, (record) => isWanted(record) && show(record), untilStopped)
      if (fault && !follow) throw fault
    })
    return 0
  },
}

/** @returns where the trail ends; `undefined` for one that is empty. */
async function read(
  entries: AsyncIterable<TrailEntry>,
  take: (record: AuditRecord) => void,
): Promise<string | undefined> {
  let last: string | undefined
  for await (const { cursor, record } of entries) {
    last = cursor
    take(record)
  }
  return last
}

async function followOn(
  entries: (after?: string) => AsyncIterable<TrailEntry>,
  from: string | undefined,
  take: (record: AuditRecord) => void,
  untilStopped: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  let cursor = from
  const following = (async () => {
    while (!stop.signal.aborted) {
      await sleep(LOOK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined)
      cursor = (await read(entries(cursor), take)) ?? cursor
    }
  })()
  const stopped = untilStopped(async () => {
    stop.abort()
    await following
  })
  await Promise.race([stopped, following])
}

async function filterOf(store: Store, { values }: Arguments, since: number) {
  const { user, session } = values
  const sub = typeof user === 'string' ? ((await store.users.findByUsername(user))?.sub ?? user) : undefined
  // A server writes twice what it was not answered about.
  const seen = new Set<string>()
  return (record: AuditRecord) => {
    if (seen.has(record.id)) return false
    seen.add(record.id)
    return (
      (sub === undefined || record.sub === sub) &&
      (session === undefined || record.sid === session) &&
      Date.parse(record.time) >= since
    )
  }
}

/** @returns milliseconds since 1970. @throws {UsageError} */
function readSince({ values }: Arguments): number {
  const { since } = values
  if (since === undefined) return 0
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(String(since)) ?? []
  if (count !== undefined) return Date.now() - Number(count) * MILLISECONDS[unit as 's']
  const time = /^\d{4}-\d\d-\d\d/.test(String(since)) ? Date.parse(String(since)) : Number.NaN
  if (Number.isNaN(time))
    throw new UsageError('--since takes a time such as 2026-11-20T08:00Z, or 30m, 12h, 7d')
  return time
}

const HEADER = ['TIME', 'EVENT', 'ACTOR', 'CLIENT', 'SUB', 'SESSION', 'NETWORK', 'REASON']

function rowOf({ time, event, actor, client_id, sub, sid, network, reason }: AuditRecord): string[] {
  return [time, event, actor, ...[client_id, sub, sid, network, reason].map((cell) => cell || '-')]
}

export const AUDIT_COMMANDS: readonly Command[] = [list]
