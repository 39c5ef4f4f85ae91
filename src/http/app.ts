import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import type { RequestNotes, TokenServices } from '../grants/grant.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { countRequest } from '../metrics/observe.ts'
import type { Tracing } from '../tracing/tracing.ts'
import { closeInTime } from './closing.ts'
import { discoveryRoutes, pathOf } from './discovery-routes.ts'
import { errorHandler, type NotFound } from './errors.ts'
import { oauthRoutes } from './oauth-routes.ts'
import { describeRoutes } from './openapi.ts'
import { PROBLEM_JSON, problemBody, sendProblem } from './problems.ts'
import { summariseRegistrations } from './registrations.ts'
import { traceRequests } from './trace-requests.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route's clients expect the errors of RFC 6749 section 5.2. */
    speaksOAuth?: boolean
  }
  interface FastifyReply {
    /** What the request's log line says beside its route and status. */
    locals: { notes?: RequestNotes; error?: string; detail?: string }
  }
}

/** A whole request must have come within this time, its head within the half of it. */
const REQUEST_TIMEOUT_MS = 10_000

/** The app's bounds and manners, the same on both listeners. */
export function createBareApp(log: Logger, trustProxy: readonly string[] = []): FastifyInstance {
  const app = Fastify({
    // One line of our own per request; Fastify's two cost a tenth of a signature.
    logger: false,
    trustProxy: trustProxy.length > 0 ? [...trustProxy] : false,
    requestIdHeader: false,
    genReqId: () => '',
    bodyLimit: 16 * 1024,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    routerOptions: { maxParamLength: 100 },
    forceCloseConnections: 'idle',
    // Its answer has an `error` member; closing.ts serves what still comes, and closes behind it.
    return503OnClosing: false,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    http: {
      headersTimeout: REQUEST_TIMEOUT_MS / 2,
      // Node looks at these times only so often, by default twice a minute.
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 16 * 1024,
    },
    frameworkErrors: (_error, _request, reply) => {
      sendProblem(reply as unknown as FastifyReply, 400)
    },
    clientErrorHandler,
  })
  app.decorateReply('locals', null as never)
  // Hooks of every request call back: an async one costs a promise and a turn of the queue each time.
  app.addHook('onRequest', (_request, reply, done) => {
    reply.locals = {}
    reply.header('x-content-type-options', 'nosniff')
    done()
  })
  const notFound = answerUnknown(app)
  app.setNotFoundHandler(notFound)
  app.setErrorHandler(errorHandler(log, notFound))
  // A client may close its half when it has sent all; the answer still goes out.
  Object.assign(app.server, { httpAllowHalfOpen: true })
  closeInTime(app)
  // What is not asked for is not read either; the answer then is about the route and not about the body.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  return app
}

/** 405 with `Allow` where the path is known, else 404 (RFC 9110 section 15.5.6). */
function answerUnknown(app: FastifyInstance): NotFound {
  const allowed = new Map<string, string>()
  app.addHook('onRoute', ({ url, method }) => {
    // OPTIONS is there for browsers' preflights and is nobody's method to choose.
    if (method === 'OPTIONS') return
    const methods = [allowed.get(url), method].flat(2).filter((name) => name !== undefined)
    allowed.set(url, [...new Set(methods)].join(', '))
  })
  return (request, reply) => {
    const allow = allowed.get(request.url.split('?', 1)[0] ?? '')
    if (allow === undefined) return sendProblem(reply, 404)
    return sendProblem(reply.header('allow', allow), 405)
  }
}

export interface AppOptions {
  readonly services: TokenServices
  readonly log: Logger
  readonly trustProxy: readonly string[]
  readonly metrics: Metrics
  /** None where nobody listens. */
  readonly tracing: Tracing | undefined
}

/** The public listener's app, without a listener. */
export async function createApp({
  services,
  log,
  trustProxy,
  metrics,
  tracing,
}: AppOptions): Promise<FastifyInstance> {
  const app = createBareApp(log, trustProxy)
  if (tracing) traceRequests(app, tracing)
  logRequests(app, log)

  const { issuer } = services.settings
  countRequests(app, metrics, `${pathOf(issuer)}/token`)
  const registrations = summariseRegistrations(services.store.clients)
  await describeRoutes(app, issuer)
  await app.register(oauthRoutes, { prefix: pathOf(issuer), services, registrations })
  await app.register(discoveryRoutes, { issuer, signing: services.signing, registrations })
  await app.ready()
  return app
}

/** One line per request. The route's pattern stands in it, never the URL, whose query is the client's own business. */
function logRequests(app: FastifyInstance, log: Logger): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { notes, error, detail } = reply.locals ?? {}
    const level = reply.statusCode >= 500 ? 'error' : 'info'
    // What is undefined is not written.
    log[level](
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        grant_type: notes?.grant_type,
        sid: notes?.sid,
        decision: notes?.decision,
        replay_age_ms: notes?.replay_age_ms,
        client_id: notes?.client?.clientId,
        error,
        detail,
      },
      'request',
    )
    done()
  })
}

function countRequests(app: FastifyInstance, metrics: Metrics, tokenRoute: string): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { notes = {}, error } = reply.locals ?? {}
    const { url: route } = request.routeOptions
    countRequest(metrics, {
      route,
      isTokenRequest: route === tokenRoute && request.method === 'POST',
      status: reply.statusCode,
      milliseconds: reply.elapsedTime,
      notes,
      error,
    })
    done()
  })
}

/** A request that is not even HTTP. Node answers such with an empty 400; this says as much, in our own form. */
function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  const body = problemBody(status)
  socket.end(
    `HTTP/1.1 ${status} ${JSON.parse(body).title}\r\nContent-Type: ${PROBLEM_JSON}\r\nCache-Control: no-store\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
