import type { FastifyInstance } from 'fastify'

export interface CorsOptions {
  readonly methods: readonly string[]
  readonly paths: readonly string[]
  /** Whether any client has registered this origin. */
  readonly isRegistered: (origin: string) => Promise<boolean>
}

/** How long a browser may go by a preflight, in seconds. */
const PREFLIGHT_MAX_AGE = 600

/**
 * Lets the pages of registered origins read the answers of these paths (CORS). Never with credentials: browser-based
 * apps send theirs in the request itself.
 *
 * A preflight names no client, so any client's origin passes there; the answer itself is readable only by the origins
 * of the client that it is for.
 */
export function allowOrigins(app: FastifyInstance, { methods, paths, isRegistered }: CorsOptions): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (!paths.some((path) => request.routeOptions.url?.endsWith(path))) return done()
    reply.header('vary', 'Origin')
    const { origin } = request.headers
    if (origin === undefined) return done()
    isRegistered(origin).then((isKnown) => {
      if (isKnown) {
        reply.headers({
          'access-control-allow-origin': origin,
          'access-control-expose-headers': 'WWW-Authenticate, Retry-After',
        })
      }
      done()
    }, done)
  })

  app.addHook('onSend', (request, reply, payload, done) => {
    const { client } = reply.locals.notes ?? {}
    const { origin } = request.headers
    if (origin !== undefined && client && !client.origins.includes(origin)) {
      reply.removeHeader('access-control-allow-origin')
    }
    done(null, payload)
  })

  for (const path of paths) {
    app.options(path, { schema: { hide: true } as object }, async (_request, reply) => {
      if (reply.hasHeader('access-control-allow-origin')) {
        reply.headers({
          'access-control-allow-methods': methods.join(', '),
          'access-control-allow-headers': 'Authorization, Content-Type',
          'access-control-max-age': PREFLIGHT_MAX_AGE,
        })
      }
      return reply.code(204).send()
    })
  }
}
