import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'

export const PROBLEM_JSON = 'application/problem+json'

/**
 * Problem details (RFC 9457), for everything that is not the request's, the client's or the grant's fault. Never with
 * an `error` member: clients take that for the end of the session.
 */
export function problemBody(status: number, detail?: string): string {
  const title = STATUS_CODES[status] ?? 'Error'
  return JSON.stringify({ title, status, ...(detail !== undefined && { detail }) })
}

export function sendProblem(reply: FastifyReply, status: number, detail?: string): FastifyReply {
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type(PROBLEM_JSON)
    .send(problemBody(status, detail))
}
