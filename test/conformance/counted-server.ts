import { pino } from 'pino'
import { readConfig } from '../../src/config/config.ts'
import type { TokenServices } from '../../src/grants/grant.ts'
import { startServer } from '../../src/http/server.ts'
import { untilReachable } from '../../src/stores/open-store.ts'
import { freePort } from '../support/free-port.ts'
import { clientOf, type Stage } from './context.ts'

export interface CountedServer extends ReturnType<typeof clientOf> {
  /** Runs the work and says what the server asked meanwhile of its store and of its password hashing. */
  count(work: () => Promise<unknown>): Promise<string[]>
}

/**
 * Runs work against a server in this very process, on the shared store and a port of its own, whose questions to the
 * store and to the password hashing are noted down: amounts of work are compared by counting, not by timing.
 */
export async function withCountedServer<T>(
  { deployment }: Stage,
  network: number,
  work: (server: CountedServer) => Promise<T>,
): Promise<T> {
  const port = await freePort()
  const config = readConfig({
    ...deployment.env,
    PORT: String(port),
    MANAGEMENT_PORT: '0',
    TRUST_PROXY: '127.0.0.1',
    // The trail is written beside the requests, and no answer waits for it.
    AUDIT_STREAM_LENGTH: '0',
  })
  const server = await startServer(config, pino({ level: 'silent' }))
  await untilReachable(server.services.store, 10_000)
  let asked: string[] = []
  noteCalls(server.services, (name) => asked.push(name))
  try {
    return await work({
      ...clientOf(server.url, network),
      async count(work) {
        asked = []
        await work()
        return asked
      },
    })
  } finally {
    await server.close()
  }
}

function noteCalls({ store, passwords }: TokenServices, note: (name: string) => void): void {
  for (const [part, verbs] of Object.entries({ passwords, ...store })) {
    if (typeof verbs !== 'object') continue
    const noted = verbs as object as Record<string, unknown>
    for (const [verb, real] of Object.entries(noted)) {
      // What is recalled is not asked for, and to look for room is no work.
      if (typeof real !== 'function' || verb === 'recall' || verb === 'requireRoom') continue
      noted[verb] = (...args: unknown[]) => {
        note(`${part}.${verb}`)
        return real.apply(verbs, args)
      }
    }
  }
}
