import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientStore } from '../stores/contract.ts'
import { DamagedRecordError } from '../stores/sound-records.ts'

/** What all registered clients have together. */
export interface Registrations {
  hasOrigin(origin: string): Promise<boolean>
  /** Sorted; empty when none is known. */
  scopes(): Promise<readonly string[]>
}

/** How long what was read may be gone by. */
const FRESH_MS = 1000
/** How long a preflight or the metadata waits for what is new, before it goes by what is known. */
const PATIENCE_MS = 150

interface Summary {
  readonly origins: ReadonlySet<string>
  readonly scopes: readonly string[]
}

const NOTHING: Summary = { origins: new Set(), scopes: [] }

/**
 * Sums up the clients of the store, at most once a second and only when asked. When the store does not answer, what was
 * known before holds: metadata and preflights are answered without it.
 */
export function summariseRegistrations(clients: ClientStore): Registrations {
  let known = NOTHING
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<Summary> | undefined

  async function read(): Promise<Summary> {
    const origins = new Set<string>()
    const scopes = new Set<string>()
    try {
      for await (const client of clients.list()) {
        if (client.disabled) continue
        for (const origin of client.origins) origins.add(origin)
        for (const scope of client.scopes) scopes.add(scope)
      }
      known = { origins, scopes: [...scopes].sort() }
    } catch (error) {
      // A damaged record is told of when all others were read. Otherwise the next question after this one tries again.
      if (error instanceof DamagedRecordError) known = { origins, scopes: [...scopes].sort() }
    }
    readAt = performance.now()
    reading = undefined
    return known
  }

  async function summary(): Promise<Summary> {
    if (performance.now() - readAt < FRESH_MS) return known
    reading ??= read()
    return Promise.race([reading, sleep(PATIENCE_MS, undefined, { ref: false }).then(() => known)])
  }

  return {
    hasOrigin: async (origin) => (await summary()).origins.has(origin),
    scopes: async () => (await summary()).scopes,
  }
}
