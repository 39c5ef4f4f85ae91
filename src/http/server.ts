import { availableParallelism } from 'node:os'
import type { Logger } from 'pino'
import { IN_SERVER, startPasswordHashing } from '../accounts/password-hashing.ts'
import type { Config } from '../config/config.ts'
import type { AuditEvent } from '../grants/audit.ts'
import { createFailureThrottle } from '../grants/failure-throttle.ts'
import type { TokenServices } from '../grants/grant.ts'
import { ensureKeys, loadKeys, signsSince } from '../keys/key-files.ts'
import { createMetrics } from '../metrics/metrics.ts'
import { countAudit, countThrottle, timeHashing, timeStore } from '../metrics/observe.ts'
import { gaugeState } from '../metrics/state.ts'
import { openStore } from '../stores/open-store.ts'
import { signOnPool, signOnThread } from '../tokens/signing-key.ts'
import { traceHashing, traceSigning, traceStore } from '../tracing/trace-services.ts'
import { findTracing } from '../tracing/tracing.ts'
import { answerPrimary, type WorkerRole } from '../workers/worker.ts'
import { urlOf } from './address.ts'
import { createApp } from './app.ts'
import { createManagementApp, type Readiness } from './management-app.ts'
import { injectRequest } from './primary.ts'

/** Failed client authentications from one network, in this time. */
const CLIENT_FAILURES = 100
const CLIENT_FAILURES_SECONDS = 60

/** A server that listens. */
export interface RunningServer {
  readonly services: TokenServices
  readonly url: string
  /** None where the primary has it. */
  readonly managementUrl: string | undefined
  /** Lets the requests under way finish, then closes both listeners and the store. */
  close(): Promise<void>
}

/**
 * Starts the server: keys, store, both listeners. A store in Redis need not be reachable yet.
 *
 * @param flushLog writes the log lines that wait to go out together; for a log that makes them wait.
 * @param worker where this is one of several processes. Its management listener is the primary's.
 * @throws {KeyFileError} or the system's error when something cannot be opened or listened on.
 */
export async function startServer(
  config: Config,
  log: Logger,
  flushLog: () => void = () => undefined,
  worker?: WorkerRole,
): Promise<RunningServer> {
  await ensureKeys(config.keysDir)
  const keys = await loadKeys(config.keysDir)
  const store = openStore(config.store, {
    waitReplicas: config.waitReplicas,
    sweeps: worker === undefined || worker.place === 0,
    onChange: (state, reason) =>
      log[state === 'reachable' ? 'info' : 'error']({ store: state, reason }, `the store is ${state}`),
  })
  const passwords = startPasswordHashing(IN_SERVER, worker?.of)
  const metrics = createMetrics()
  const timedStore = timeStore(store, metrics)
  const timedHashing = timeHashing(passwords, metrics)
  // With a core to spare, the event loop goes on while the other one signs.
  const sign = availableParallelism() > (worker?.of ?? 1) ? signOnPool : signOnThread
  const tracing = findTracing()
  // Whatever else is too much, audit events are not.
  const audits = log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info' })
  const services: TokenServices = {
    store: tracing ? traceStore(timedStore, config.store.kind, tracing) : timedStore,
    passwords: tracing ? traceHashing(timedHashing, tracing) : timedHashing,
    signing: keys.signing,
    sign: tracing ? traceSigning(sign, tracing) : sign,
    refreshSecrets: keys.refresh,
    audit: countAudit((event: AuditEvent) => {
      audits.info(event, event.event)
      // Log lines go out together after a moment; these do not wait.
      flushLog()
    }, metrics),
    clientFailures: countThrottle(
      createFailureThrottle(CLIENT_FAILURES, CLIENT_FAILURES_SECONDS),
      'client_authentication',
      metrics,
    ),
    settings: config,
  }
  gaugeState(metrics, {
    store,
    signing: () => services.signing,
    signsSince: () => signsSince(config.keysDir),
  })
  const readiness: Readiness = { ready: true }
  const app = await createApp({ services, log, trustProxy: config.trustProxy, metrics, tracing })
  const management = createManagementApp({ store, readiness, openapi: app.swagger(), metrics }, log)

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
    await store.close()
  }
  try {
    if (worker) {
      answerPrimary({
        manage: (request) => injectRequest(management, request),
        metrics: async () => ({ pid: process.pid, metrics: await metrics.registry.getMetricsAsJSON() }),
      })
    }
    await app.listen({ host: config.host, port: config.port })
    if (!worker) await management.listen({ host: config.managementHost, port: config.managementPort })
  } catch (error) {
    await close()
    throw error
  }
  return {
    services,
    url: urlOf(app.server.address()),
    managementUrl: worker ? undefined : urlOf(management.server.address()),
    close,
  }
}
