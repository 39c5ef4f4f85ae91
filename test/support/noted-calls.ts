import { pino } from 'pino'
import { readConfig } from '../../src/config/config.ts'
import type { TokenServices } from '../../src/grants/grant.ts'
import { startServer } from '../../src/http/server.ts'
import { untilReachable } from '../../src/stores/open-store.ts'
import { freePort } from './free-port.ts'

export interface NotedServer {
  readonly url: string
  /** Runs the work and says what the server asked meanwhile of its store and of its password hashing. */
  count(work: () => Promise<unknown>): Promise<string[]>
  close(): Promise<void>
}

/**
 * Starts a server in this very process, on a port of its own, whose questions to the store and to the password hashing are
 * noted down: amounts of work are compared by counting, not by timing. It believes this machine who it speaks for.
 */
export async function startNotedServer(env: Readonly<Record<string, string>>): Promise<NotedServer> {
  const port = await freePort()
  const config = readConfig({
    ...env,
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
  return {
    url: server.url,
    async count(work) {
      asked = []
      await work()
      return asked
    },
    async close() {
      await server.close()
    },
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
