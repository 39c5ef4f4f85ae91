import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import type { Logger } from 'pino'
import { IN_SERVER, startPasswordHashing } from '../accounts/password-hashing.ts'
import type { Config } from '../config/config.ts'
import type { AuditEvent } from '../grants/audit.ts'
import { createFailureThrottle } from '../grants/failure-throttle.ts'
import type { TokenServices } from '../grants/grant.ts'
import { createRehashing } from '../grants/rehash.ts'
import { ensureKeys, loadKeys } from '../keys/key-files.ts'
import { openStore } from '../stores/open-store.ts'
import { signOnPool, signOnThread } from '../tokens/signing-key.ts'
import { createApp } from './app.ts'
import { createManagementApp, type Readiness } from './management-app.ts'

/** Failed client authentications from one network, in this time. */
const CLIENT_FAILURES = 100
const CLIENT_FAILURES_SECONDS = 60

/** A server that listens. */
export interface RunningServer {
  readonly services: TokenServices
  readonly url: string
  readonly managementUrl: string
  /** Lets the requests under way finish, then closes both listeners and the store. */
  close(): Promise<void>
}

/**
 * Starts the server: keys, store, both listeners. A store in Redis need not be reachable yet.
 *
 * @param flushLog writes the log lines that wait to go out together; for a log that makes them wait.
 * @param prepare is waited for before anything is listened on.
 * @throws {KeyFileError} or the system's error when something cannot be opened or listened on.
 */
export async function startServer(
  config: Config,
  log: Logger,
  flushLog: () => void = () => undefined,
  prepare: (services: TokenServices) => Promise<void> = async () => undefined,
): Promise<RunningServer> {
  await ensureKeys(config.keysDir)
  const keys = await loadKeys(config.keysDir)
  const store = openStore(config.store, {
    waitReplicas: config.waitReplicas,
    onChange: (state, reason) =>
      log[state === 'reachable' ? 'info' : 'error']({ store: state, reason }, `the store is ${state}`),
  })
  const passwords = startPasswordHashing(IN_SERVER)
  const rehashing = createRehashing(store, passwords)
  // Whatever else is too much, audit events are not.
  const audits = log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info' })
  const services: TokenServices = {
    store,
    passwords,
    rehashing,
    signing: keys.signing,
    // With a core to spare, the event loop goes on while the other one signs.
    sign: availableParallelism() > 1 ? signOnPool : signOnThread,
    refreshSecrets: keys.refresh,
    audit: (event: AuditEvent) => {
      audits.info(event, event.event)
      // Log lines go out together after a moment; these do not wait.
      flushLog()
    },
    clientFailures: createFailureThrottle(CLIENT_FAILURES, CLIENT_FAILURES_SECONDS),
    settings: config,
  }
  const readiness: Readiness = { ready: true }
  const app = await createApp({ services, log, trustProxy: config.trustProxy })
  const management = createManagementApp({ store, readiness, openapi: app.swagger() }, log)

  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= closeAll()
    return closed
  }
  async function closeAll(): Promise<void> {
    readiness.ready = false
    await app.close()
    await management.close()
    await passwords.close()
    await rehashing.settled()
    await store.close()
  }
  try {
    await prepare(services)
    await app.listen({ host: config.host, port: config.port })
    await management.listen({ host: config.managementHost, port: config.managementPort })
  } catch (error) {
    await close()
    throw error
  }
  const urlOf = (address: AddressInfo | string | null) => {
    const { address: host, family, port } = address as AddressInfo
    return `http://${family === 'IPv6' ? `[${host}]` : host}:${port}`
  }
  return {
    services,
    url: urlOf(app.server.address()),
    managementUrl: urlOf(management.server.address()),
    close,
  }
}
