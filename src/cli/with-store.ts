import { type Audit, type AuditRecord, recordOf } from '../audit/event.ts'
import { readConfig } from '../config/config.ts'
import type { Store } from '../stores/contract.ts'
import type { StoreLocation } from '../stores/location.ts'
import { openStore, untilReachable } from '../stores/open-store.ts'
import { CommandError, type Surroundings } from './command.ts'

/** A person waits; a server that is being restarted should not make the command fail. */
const PATIENCE_MS = 3000

/**
 * Opens a store and waits a moment for it.
 *
 * @param what names it in the message.
 * @throws {CommandError} when it does not answer.
 */
export async function openReachable(
  location: StoreLocation,
  what: string,
  waitReplicas: number,
): Promise<Store> {
  let reason: string | undefined
  const store = await openStore(location, {
    waitReplicas,
    onChange: (_, why) => {
      reason = why ?? reason
    },
  })
  try {
    await untilReachable(store, PATIENCE_MS)
    return store
  } catch (error) {
    await store.close()
    if (location.kind === 'lmdb')
      throw new CommandError(`${what} cannot be written: ${causeOf(error)}`, { cause: error })
    throw new CommandError(`${what} does not answer${reason ? ` (${reason})` : ''}: is it running?`)
  }
}

/** The first cause, which says most. */
function causeOf(error: unknown): string {
  const { cause, message } = error as Error
  return cause instanceof Error ? causeOf(cause) : message
}

/**
 * Opens the store that a running server uses, for one command.
 *
 * What the command tells as audit events is in the store's trail when this returns. A trail that cannot be written is
 * said, and undoes nothing.
 */
export async function withStore<T>(
  { environment, tell }: Surroundings,
  work: (store: Store, audit: Audit) => Promise<T>,
): Promise<T> {
  const config = readConfig(environment)
  const records: AuditRecord[] = []
  const store = await openReachable(config.store, 'The store of STORE_URL', config.waitReplicas)
  try {
    return await work(store, (event) => records.push(recordOf(event)))
  } finally {
    if (records.length > 0 && config.auditStreamLength > 0) {
      await store.audit
        .append(records, config.auditStreamLength)
        .catch(() => tell('It is done, but the audit trail in the store could not be written'))
    }
    await store.close()
  }
}
