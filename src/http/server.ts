import { availableParallelism } from 'node:os'
import type { Logger } from 'pino'
import { IN_SERVER, startPasswordHashing } from '../accounts/password-hashing.ts'
import { type Config, describeConfig } from '../config/config.ts'
import { createFailureThrottle } from '../grants/failure-throttle.ts'
import type { TokenServices } from '../grants/grant.ts'
import { createRehashing } from '../grants/rehash.ts'
import { createWaitingLines } from '../grants/waiting-lines.ts'
import { createMetrics } from '../metrics/metrics.ts'
import { countAudit, countThrottle, timeHashing, timeStore } from '../metrics/observe.ts'
import { gaugeState } from '../metrics/state.ts'
import { openStore } from '../stores/open-store.ts'
import { signOnPool, signOnThread } from '../tokens/signing-key.ts'
import { traceHashing, traceSigning, traceStore } from '../tracing/trace-services.ts'
import { findTracing } from '../tracing/tracing.ts'
import { parseWebhookSecrets } from '../webhooks/signing.ts'
import type { VerifyWebhook } from '../webhooks/verify-webhook.ts'
import { answerPrimary, type WorkerRole } from '../workers/worker.ts'
import { urlOf } from './address.ts'
import { createApp } from './app.ts'
import { startAuditing } from './auditing.ts'
import { openKeyRings, rotateUnattended } from './key-rings.ts'
import { createManagementApp, type Readiness } from './management-app.ts'
import { injectRequest } from './primary.ts'

/** Failed client authentications from one network, in this time. */
const CLIENT_FAILURES = 100
const CLIENT_FAILURES_SECONDS = 60

/** What the receivers of audit events get when the server stops. Requests under way may have taken six seconds of ten. */
const AUDIT_LAST_CHANCE_MS = 2000

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
 * @param prepare is waited for before anything is listened on. It returns what ends what of it goes on beside the server.
 * @throws {KeyFileError} or the system's error when something cannot be opened or listened on.
 */
export async function startServer(
  config: Config,
  log: Logger,
  flushLog: () => void = () => undefined,
  worker?: WorkerRole,
  prepare: (services: TokenServices) => Promise<() => Promise<void>> = async () => async () => undefined,
): Promise<RunningServer> {
  const open: Opened[] = []
  const readiness: Readiness = { ready: true }
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= closeAll()
    return closed
  }
  async function closeAll(): Promise<void> {
    readiness.ready = false
    // What was opened last uses what was opened before it.
    for (const opened of open.reverse()) await opened.close()
  }
  try {
    return await openAll()
  } catch (error) {
    // What is left open would keep the process alive.
    await close()
    throw error
  }

  async function openAll(): Promise<RunningServer> {
    const keys = await openKeyRings(config.keysDir, config.signingAlgs, log, (event) => services.audit(event))
    open.push(keys)
    const store = await openStore(config.store, {
      waitReplicas: config.waitReplicas,
      sweeps: worker === undefined || worker.place === 0,
      onChange: (state, reason) =>
        log[state === 'reachable' ? 'info' : 'error']({ store: state, reason }, `the store is ${state}`),
    })
    open.push(store)
    let isListening = false
    const auditing = startAuditing(config, store.audit, log, flushLog)
    open.push({
      async close() {
        if (isListening) auditing.audit({ event: 'server.stopped' })
        await auditing.close(AUDIT_LAST_CHANCE_MS)
      },
    })
    const rotation = rotateUnattended(config, store, log)
    open.push(rotation)
    const metrics = createMetrics()
    const tracing = findTracing()
    const timedStore = timeStore(store, metrics)
    const servedStore = tracing ? traceStore(timedStore, config.store.kind, tracing) : timedStore
    const passwords = startPasswordHashing(IN_SERVER, worker?.of)
    const timedHashing = timeHashing(passwords, metrics)
    const servedHashing = tracing ? traceHashing(timedHashing, tracing) : timedHashing
    // Untimed: nobody waits for it, and what comes to nothing is nobody's 503.
    const rehashing = createRehashing(servedStore, passwords)
    open.push({
      async close() {
        await passwords.close()
        await rehashing.settled()
      },
    })
    // With a core to spare, the event loop goes on while the other one signs.
    const sign = availableParallelism() > (worker?.of ?? 1) ? signOnPool : signOnThread
    const services: TokenServices = {
      store: servedStore,
      passwords: servedHashing,
      rehashing,
      signing: keys.signing,
      sign: tracing ? traceSigning(sign, tracing) : sign,
      refreshSecrets: keys.refresh,
      verifyWebhook: await verifyWebhookOf(config, log),
      audit: countAudit(auditing.audit, metrics),
      lookForKeys: keys.lookNow,
      clientFailures: countThrottle(
        createFailureThrottle(servedStore, CLIENT_FAILURES, CLIENT_FAILURES_SECONDS),
        'client_authentication',
        metrics,
      ),
      signInLines: createWaitingLines(),
      settings: config,
    }
    gaugeState(metrics, {
      store,
      signing: () => services.signing,
      signsSince: () => keys.signers.find(({ key }) => key === keys.signing.active)?.since,
    })
    const app = await createApp({ services, log, trustProxy: config.trustProxy, metrics, tracing })
    const management = createManagementApp({ store, readiness, openapi: app.swagger(), metrics }, log)
    let endPrepared = async () => {}
    open.push({
      async close() {
        const prepared = endPrepared()
        await app.close()
        await management.close()
        await prepared
      },
    })
    endPrepared = await prepare(services)
    if (worker) {
      answerPrimary({
        manage: (request) => injectRequest(management, request),
        metrics: async () => ({ pid: process.pid, metrics: await metrics.registry.getMetricsAsJSON() }),
      })
    }
    await app.listen({ host: config.host, port: config.port })
    if (!worker) await management.listen({ host: config.managementHost, port: config.managementPort })
    isListening = true
    auditing.audit({ event: 'server.started', configuration: describeConfig(config) })
    return {
      services,
      url: urlOf(app.server.address()),
      managementUrl: worker ? undefined : urlOf(management.server.address()),
      close,
    }
  }
}

/** Something that keeps the process alive. */
interface Opened {
  close(): Promise<unknown>
}

async function verifyWebhookOf(
  { verifyWebhookUrl: url, verifyWebhookSecret }: Config,
  log: Logger,
): Promise<VerifyWebhook | undefined> {
  if (url === '') return undefined
  const { createVerifyWebhook } = await import('../webhooks/verify-webhook.ts')
  return createVerifyWebhook({ url, secrets: parseWebhookSecrets(verifyWebhookSecret) }, (state, reason) =>
    log[state === 'answers' ? 'info' : 'error'](
      { verify_webhook: state, reason },
      `the verify webhook ${state}`,
    ),
  )
}
