import { isIPv4 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Sender } from '../tokens/family.ts'

const AGENT_CHARACTERS = 40

/** Where a request comes from, as coarsely as a session's record keeps it. */
export function senderOf(request: FastifyRequest): Sender {
  return { network: networkOf(request.ip), agent: agentOf(request.headers['user-agent']) }
}

/** The IPv4 /24 or IPv6 /48 of an address. */
export function networkOf(address: string | undefined): string {
  if (!address) return ''
  const v4 = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
  if (isIPv4(v4)) return `${v4.slice(0, v4.lastIndexOf('.'))}.0/24`
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const groups = head === '' ? [] : head.split(':')
  // Only the first three of eight groups matter; what `::` stands for between head and tail are zeros.
  if (tail !== undefined) while (groups.length < 3) groups.push('0')
  return `${groups.slice(0, 3).join(':')}::/48`
}

function agentOf(header: string | undefined): string {
  return (header ?? '').slice(0, AGENT_CHARACTERS).replace(/[^\x20-\x7e]/g, '?')
}
