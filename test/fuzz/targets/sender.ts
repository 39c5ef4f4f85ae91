import { isIPv4 } from 'node:net'
import fc from 'fast-check'
import type { FastifyRequest } from 'fastify'
import { networkOf, senderOf } from '../../../src/http/sender.ts'
import { mustBe, type Target } from '../target.ts'

/** The eight groups of an IPv6 address as the URL standard reads it; `undefined` where it does not. */
function groupsOf(address: string): string[] | undefined {
  const url = `http://[${address}]/`
  if (!/^[0-9A-Fa-f:.]+$/.test(address) || !URL.canParse(url)) return undefined
  const [head = '', tail] = new URL(url).hostname.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
}

/** The network of an address, with a port, a zone or brackets around it. */
function network(text: string, bits: 48 | 64): string {
  const plain = /^(?:::ffff:)?([\d.]+)(?::\d+)?$/i.exec(text)?.[1]
  if (plain !== undefined && isIPv4(plain)) return `${plain.split('.').slice(0, 3).join('.')}.0/24`
  const bare = text
    .replace(/^\[/, '')
    .replace(/\](:\d+)?$/, '')
    .replace(/%.*$/, '')
  if (isIPv4(bare)) return network(bare, bits)
  const groups = groupsOf(bare)
  if (!groups) return ''
  const mapped = groups.slice(0, 6).join(':') === '0:0:0:0:0:ffff'
  const octets = groups.slice(6).flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 255]
  })
  if (mapped) return network(octets.join('.'), bits)
  return `${groups.slice(0, bits / 16).join(':')}::/${bits}`
}

const group = fc.oneof(
  fc.constant('0'),
  fc.nat({ max: 0xffff }).map((value) => value.toString(16)),
)
const spelling = fc.constantFrom<(text: string) => string>(
  (text) => text,
  (text) => text.toUpperCase(),
  (text) => `[${text}]`,
  (text) => `[${text}]:443`,
  (text) => `${text}:443`,
  (text) => `${text}%eth0`,
  (text) => text.replace(/(^|:)0(:0)+(:|$)/, '::'),
  (text) => `::ffff:${text}`,
)
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(':')),
)

export const SENDER: Target = {
  name: 'sender',
  share: 40,
  grammar: fc.tuple(address, spelling).map(([address, spell]) => spell(address)),
  hold(input) {
    // Node reads headers as Latin-1, and has taken line feeds for their ends.
    const text = input.toString('latin1').replaceAll(/[\r\n]/g, '')
    for (const bits of [48, 64] as const)
      mustBe(networkOf(text, bits) === network(text, bits), `another network of ${bits} bits`)
    const { agent } = senderOf({ ip: '', headers: { 'user-agent': text } } as unknown as FastifyRequest)
    mustBe(/^[\x20-\x7e]{0,32}$/.test(agent), 'an agent that is long, or not printable')
    mustBe(agent.length === Math.min(32, text.length), 'an agent that is shorter than it was')
  },
}
