import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Metrics } from '../metrics/metrics.ts'
import type { Store } from '../stores/contract.ts'
import { createBareApp } from './app.ts'
import { sendProblem } from './problems.ts'

/** Whether the server takes requests; false from the first signal to end. */
export interface Readiness {
  ready: boolean
}

export interface ManagementOptions {
  readonly store: Store
  readonly readiness: Readiness
  /** The OpenAPI document of the public listener. */
  readonly openapi: object
  readonly metrics: Metrics
}

/** The management listener's app: what operators and orchestrators ask, never on the public listener. */
export function createManagementApp(
  { store, readiness, openapi, metrics }: ManagementOptions,
  log: Logger,
): FastifyInstance {
  const app = createBareApp(log)
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  // Alive means: the event loop turns. A store that is down is no reason to be restarted.
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    if (!readiness.ready) return sendProblem(reply, 503, 'The server is stopping')
    await store.ping()
    return { status: 'ready' }
  })
  app.get('/openapi.json', async () => openapi)
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
  return app
}
