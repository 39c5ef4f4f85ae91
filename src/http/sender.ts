import { isIPv4, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Sender } from '../tokens/family.ts'

const AGENT_CHARACTERS = 32

/** Where a request comes from, as coarsely as a session's record keeps it. */
export function senderOf(request: FastifyRequest): Sender {
  return { network: networkOf(request.ip), agent: agentOf(request.headers['user-agent']) }
}

/** The IPv4 /24 or IPv6 /48 of an address; empty for what is no address. Some proxies add the port to it. */
export function networkOf(text: string | undefined): string {
  const bare =
    /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/i.exec(text ?? '')?.[1] ??
    (text ?? '').replace(/^\[|\](?::\d+)?$|%.*$/g, '')
  if (isIPv4(bare)) return `${bare.slice(0, bare.lastIndexOf('.'))}.0/24`
  if (!isIPv6(bare)) return ''
  const [head = '', tail] = bare.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  // Only the first three of eight groups matter; what `::` stands for between head and tail are zeros.
  if (tail !== undefined) while (groups.length < 3) groups.push('0')
  return `${groups.slice(0, 3).join(':')}::/48`
}

function agentOf(header: string | undefined): string {
  return (header ?? '').slice(0, AGENT_CHARACTERS).replace(/[^\x20-\x7e]/g, '?')
}
