import type { FastifyInstance } from 'fastify'

/** Connections on which a request is still on its way after this time are cut, so that the stop ends in time. */
const PATIENCE_MS = 6000
const LOOK_EVERY_MS = 100

/**
 * Lets a listener end: what is under way is answered, with `Connection: close`, and a connection that falls idle is
 * closed at once. Without this, clients that keep their connections alive keep the server alive as well.
 */
export function closeInTime(app: FastifyInstance): void {
  let timers: NodeJS.Timeout[] = []
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (timers.length > 0) reply.header('connection', 'close')
    done(null, payload)
  })
  app.addHook('preClose', (done) => {
    const { server } = app
    timers = [
      setInterval(() => server.closeIdleConnections(), LOOK_EVERY_MS),
      setTimeout(() => server.closeAllConnections(), PATIENCE_MS),
    ]
    server.once('close', () => timers.forEach(clearTimeout))
    done()
  })
}
