import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Logger } from 'pino'
import { type SummedMetrics, sumMetrics } from '../metrics/sum.ts'
import type { ManagementAnswer, ManagementRequest } from '../workers/messages.ts'
import type { WorkerPool } from '../workers/pool.ts'
import { createBareApp } from './app.ts'
import type { Readiness } from './management-app.ts'
import { sendProblem } from './problems.ts'

/** What a forwarded request takes along; the rest is the connection's own. */
const FORWARDED = ['content-type', 'authorization', 'accept']

/** What is the connection's own, and not the answer's. */
const OWN_HEADERS = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding'])

/** Answers a request that the primary has got, in a worker. */
export async function injectRequest(
  app: FastifyInstance,
  { method, url, headers, body }: ManagementRequest,
): Promise<ManagementAnswer> {
  const request = { method, url, headers: { ...headers }, ...(body !== '' && { payload: body }) }
  const answer = await app.inject(request as InjectOptions)
  return {
    status: answer.statusCode,
    headers: Object.fromEntries(
      Object.entries(answer.headers)
        .filter(([name]) => !OWN_HEADERS.has(name))
        .map(([name, value]) => [name, String(value)]),
    ),
    body: answer.body,
  }
}

/**
 * The management listener's app in the primary, which itself has no store and serves no tokens. It knows the workers;
 * whatever else is asked one of them answers.
 */
export function createPrimaryApp(pool: WorkerPool, readiness: Readiness, log: Logger): FastifyInstance {
  const app = createBareApp(log)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    if (!readiness.ready) return sendProblem(reply, 503, 'The server is stopping')
    // The port is served as long as one of them is ready; nobody waits for the others.
    const asked = pool.askAll('manage', { method: 'GET', url: '/health/ready', headers: {}, body: '' })
    const ready = asked.map(async (answering) => {
      const answer = await answering
      if (answer.status !== 200) throw new Error('not ready')
      return answer
    })
    const answer = await Promise.any(ready).catch(() => undefined)
    if (!answer) return sendProblem(reply, 503, 'No worker is ready')
    return reply.code(answer.status).headers(answer.headers).send(answer.body)
  })
  const metrics: SummedMetrics = sumMetrics(pool)
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))

  app.all('/*', async (request, reply) => {
    const headers = Object.fromEntries(
      FORWARDED.map((name) => [name, request.headers[name]]).filter(([, value]) => typeof value === 'string'),
    )
    const { method, url, body } = request
    const asked = { method, url, headers, body: typeof body === 'string' ? body : '' }
    const answer = await pool.askAny('manage', asked)
    if (!answer) return sendProblem(reply, 503, 'No worker answers')
    return reply.code(answer.status).headers(answer.headers).send(answer.body)
  })
  return app
}
