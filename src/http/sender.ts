import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Sender } from '../tokens/family.ts'

const AGENT_CHARACTERS = 32

/** Where a request comes from, as coarsely as a session's record keeps it. */
export function senderOf(request: FastifyRequest): Sender {
  return { network: networkOf(request.ip), agent: agentOf(request.headers['user-agent']) }
}

/**
 * The IPv4 /24 of an address, or its IPv6 network; empty for what is no address. Some proxies add the port to it.
 *
 * @param bits of an IPv6 network: 48 is what a customer gets at most, 64 what a household has for certain.
 */
export function networkOf(text: string | undefined, bits: 48 | 64 = 48): string {
  const dotted = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/i.exec(text ?? '')?.[1]
  const bare = dotted ?? canonical((text ?? '').replace(/^\[|\](?::\d+)?$|%.*$/g, ''))
  if (isIPv4(bare)) return `${bare.slice(0, bare.lastIndexOf('.'))}.0/24`
  if (!isIPv6(bare)) return ''
  const [head = '', tail] = bare.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  // What `::` stands for between head and tail are zeros; an IPv4 address at the end stands for two groups.
  const missing = 8 - groups.length - after.length - (bare.includes('.') ? 1 : 0)
  if (tail !== undefined) groups.push(...Array.from({ length: missing }, () => '0'), ...after)
  return `${groups.slice(0, bits / 16).join(':')}::/${bits}`
}

/** The one spelling of an IPv6 address (RFC 5952): a proxy may pass on another. An IPv4 address in one is that address. */
function canonical(address: string): string {
  if (!isIPv6(address)) return address
  const { address: plain } = new SocketAddress({ address, family: 'ipv6' })
  return plain.startsWith('::ffff:') && isIPv4(plain.slice(7)) ? plain.slice(7) : plain
}

function agentOf(header: string | undefined): string {
  return (header ?? '').slice(0, AGENT_CHARACTERS).replace(/[^\x20-\x7e]/g, '?')
}
