import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly json: Readonly<Record<string, unknown>>
}

export interface WebhookReceiver {
  readonly url: string
  readonly secret: string
  /** Everything that has come, in order. */
  readonly received: Received[]
  /** How it answers from now on. */
  answer: (received: Received, response: ServerResponse) => unknown
  /** Stops listening and cuts every connection; `listen` takes it up again, on the same port. */
  close(): Promise<void>
  listen(): Promise<void>
}

/** Draws a secret of a webhook. */
export const newWebhookSecret = () => `whsec_${randomBytes(32).toString('base64')}`

/** Answers with JSON. */
export function respond(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Starts a receiver of webhooks on loopback, which ends with the test. Until told otherwise it answers 204. */
export async function startReceiver(t: Test): Promise<WebhookReceiver> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const one = { headers: request.headers, body, json: JSON.parse(body) }
      received.push(one)
      void receiver.answer(one, response)
    })
  })
  let port = 0
  const receiver: WebhookReceiver = {
    get url() {
      return `http://127.0.0.1:${port}/hook`
    },
    secret: newWebhookSecret(),
    received,
    answer: (_, response) => response.writeHead(204).end(),
    async listen() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      port = (server.address() as AddressInfo).port
    },
    async close() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  await receiver.listen()
  t.teardown(receiver.close)
  return receiver
}
