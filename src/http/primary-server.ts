import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { ensureKeys, loadKeys } from '../keys/key-files.ts'
import { startWorkers } from '../workers/pool.ts'
import { urlOf } from './address.ts'
import type { Readiness } from './management-app.ts'
import { createPrimaryApp } from './primary.ts'

/** What a request to the management listener gets when the workers, who would answer it, are gone. */
const MANAGEMENT_STOP_MS = 300

/** The primary of several server processes. */
export interface RunningPrimary {
  readonly url: string
  readonly managementUrl: string
  readonly kid: string
  /** Lets every worker finish what is under way, then closes the management listener. */
  close(): Promise<void>
}

/**
 * Starts the workers and the management listener.
 *
 * @throws {KeyFileError} or {WorkerStartError} or the system's error when something cannot be opened or listened on.
 */
export async function startPrimary(config: Config, log: Logger): Promise<RunningPrimary> {
  // Here, so that its trouble is told once, and the workers find what is there.
  await ensureKeys(config.keysDir, config.signingAlgs)
  const { signing } = await loadKeys(config.keysDir, config.signingAlgs)
  const pool = await startWorkers(config.workers, log)
  const readiness: Readiness = { ready: true }
  const management = createPrimaryApp(pool, readiness, log)
  async function close(): Promise<void> {
    readiness.ready = false
    await pool.stop()
    await Promise.race([management.close(), sleep(MANAGEMENT_STOP_MS, undefined, { ref: false })])
  }
  try {
    await management.listen({ host: config.managementHost, port: config.managementPort })
  } catch (error) {
    await close()
    throw error
  }
  const family = config.host.includes(':') ? 'IPv6' : 'IPv4'
  return {
    url: urlOf({ address: config.host, family, port: pool.port }),
    managementUrl: urlOf(management.server.address()),
    kid: signing.active.kid,
    close,
  }
}
