import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RequestSpan, Tracing } from '../tracing/tracing.ts'

/** Methods that may stand in a span's name; the conventions have `HTTP` for any other. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])

/**
 * One span for each request. The route's pattern stands in it, never the URL; nothing of the form, and nobody's name or
 * address.
 *
 * A trace that the request names counts where its X-Forwarded-For does: a stranger must not choose what is sampled, nor
 * write into others' traces.
 */
export function traceRequests(app: FastifyInstance, tracing: Tracing): void {
  const spans = new WeakMap<FastifyRequest, RequestSpan>()
  app.addHook('onRequest', (request, _reply, done) => {
    const isByProxy = (request.ips?.length ?? 0) > 1
    spans.set(request, tracing.request(methodOf(request), isByProxy ? request.headers : undefined))
    done()
  })
  // Not earlier: whoever reads the body comes back from the socket, out of any context.
  app.addHook('preHandler', (request, _reply, done) => {
    const span = spans.get(request)
    if (span) span.within(done)
    else done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const { url: route } = request.routeOptions
    const { notes, error } = reply.locals ?? {}
    const method = methodOf(request)
    spans.get(request)?.end(route === undefined ? method : `${method} ${route}`, reply.statusCode, {
      'http.request.method': method === 'HTTP' ? '_OTHER' : method,
      'url.scheme': request.protocol,
      // Our routes are paths as they are asked for; of any other path nothing is told.
      ...(route !== undefined && { 'http.route': route, 'url.path': route }),
      ...(notes?.grant_type !== undefined && { 'pawl.grant_type': notes.grant_type }),
      ...(notes?.decision !== undefined && { 'pawl.decision': notes.decision }),
      ...(error !== undefined && { 'pawl.error': error }),
    })
    done()
  })
}

const methodOf = ({ method }: FastifyRequest) => (METHODS.has(method) ? method : 'HTTP')
