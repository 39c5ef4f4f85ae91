import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import type { Logger } from 'pino'
import { IN_SERVER, startPasswordHashing } from '../accounts/password-hashing.ts'
import { type Config, describeConfig } from '../config/config.ts'
import { createFailureThrottle } from '../grants/failure-throttle.ts'
import type { TokenServices } from '../grants/grant.ts'
import { openStore } from '../stores/open-store.ts'
import { signOnPool, signOnThread } from '../tokens/signing-key.ts'
import { parseWebhookSecrets } from '../webhooks/signing.ts'
import { createVerifyWebhook } from '../webhooks/verify-webhook.ts'
import { createApp } from './app.ts'
import { startAuditing } from './auditing.ts'
import { openKeyRings, rotateUnattended } from './key-rings.ts'
import { createManagementApp, type Readiness } from './management-app.ts'

/** Failed client authentications from one network, in this time. */
const CLIENT_FAILURES = 100
const CLIENT_FAILURES_SECONDS = 60

/** What the receivers of audit events get when the server stops. Requests under way may have taken six seconds of ten. */
const AUDIT_LAST_CHANCE_MS = 2000

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
 * @throws {KeyFileError} or the system's error when something cannot be opened or listened on.
 */
export async function startServer(
  config: Config,
  log: Logger,
  flushLog: () => void = () => undefined,
): Promise<RunningServer> {
  const keys = await openKeyRings(config.keysDir, log, (event) => services.audit(event))
  const store = openStore(config.store, {
    waitReplicas: config.waitReplicas,
    onChange: (state, reason) =>
      log[state === 'reachable' ? 'info' : 'error']({ store: state, reason }, `the store is ${state}`),
  })
  const auditing = startAuditing(config, store.audit, log, flushLog)
  const passwords = startPasswordHashing(IN_SERVER)
  const rotation = rotateUnattended(config, store, log)
  const services: TokenServices = {
    store,
    passwords,
    signing: keys.signing,
    // With a core to spare, the event loop goes on while the other one signs.
    sign: availableParallelism() > 1 ? signOnPool : signOnThread,
    refreshSecrets: keys.refresh,
    verifyWebhook: verifyWebhookOf(config, log),
    audit: auditing.audit,
    lookForKeys: keys.lookNow,
    clientFailures: createFailureThrottle(CLIENT_FAILURES, CLIENT_FAILURES_SECONDS),
    settings: config,
  }
  const readiness: Readiness = { ready: true }
  const app = await createApp({ services, log, trustProxy: config.trustProxy })
  const management = createManagementApp({ store, readiness, openapi: app.swagger() }, log)

  let isListening = false
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
    await rotation.close()
    await keys.close()
    if (isListening) auditing.audit({ event: 'server.stopped' })
    await auditing.close(AUDIT_LAST_CHANCE_MS)
    await store.close()
  }
  try {
    await app.listen({ host: config.host, port: config.port })
    await management.listen({ host: config.managementHost, port: config.managementPort })
  } catch (error) {
    await close()
    throw error
  }
  isListening = true
  auditing.audit({ event: 'server.started', configuration: describeConfig(config) })
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

function verifyWebhookOf({ verifyWebhookUrl: url, verifyWebhookSecret }: Config, log: Logger) {
  if (url === '') return undefined
  return createVerifyWebhook({ url, secrets: parseWebhookSecrets(verifyWebhookSecret) }, (state, reason) =>
    log[state === 'answers' ? 'info' : 'error'](
      { verify_webhook: state, reason },
      `the verify webhook ${state}`,
    ),
  )
}
