import { readConfig } from '../config/config.ts'
import type { Store } from '../stores/contract.ts'
import { openStore, untilReachable } from '../stores/open-store.ts'
import { CommandError, type Surroundings } from './command.ts'

/** A person waits; a server that is being restarted should not make the command fail. */
const PATIENCE_MS = 3000

/** Opens the store that a running server uses, for one command. */
export async function withStore<T>(
  { environment }: Surroundings,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const config = readConfig(environment)
  let reason: string | undefined
  const store = openStore(config.store, {
    waitReplicas: config.waitReplicas,
    onChange: (_, why) => {
      reason = why ?? reason
    },
  })
  try {
    await untilReachable(store, PATIENCE_MS).catch(() => {
      throw new CommandError(
        `The store of STORE_URL does not answer${reason ? ` (${reason})` : ''}: is it running?`,
      )
    })
    return await work(store)
  } finally {
    await store.close()
  }
}
