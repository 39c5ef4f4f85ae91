import type { AddressInfo } from 'node:net'

/** The base URL of a listener. @param address what a server that listens on TCP says of itself. */
export function urlOf(address: AddressInfo | string | null): string {
  const { address: host, family, port } = address as AddressInfo
  return `http://${family === 'IPv6' ? `[${host}]` : host}:${port}`
}
