/** Where the store is, as `STORE_URL` says it. */
export type StoreLocation =
  | { readonly kind: 'lmdb'; readonly folder: string }
  | ({
      readonly kind: 'redis'
      readonly host: string
      readonly port: number
      readonly db: number
    } & RedisAccess)
  | ({
      readonly kind: 'redis-sentinel'
      readonly sentinels: readonly HostPort[]
      readonly name: string
      readonly db: number
      readonly sentinelPassword?: string
    } & RedisAccess)
  | ({ readonly kind: 'redis-cluster'; readonly nodes: readonly HostPort[] } & RedisAccess)

interface RedisAccess {
  readonly tls: boolean
  readonly username?: string
  readonly password?: string
}

interface HostPort {
  readonly host: string
  readonly port: number
}

const REDIS =
  /^(redis|rediss|redis-sentinel|redis-cluster):\/\/(?:([^@/]*)@)?([^@/?]+)(?:\/([^/?]*))?(?:\?(.*))?$/

const OPTIONS: Record<'redis' | 'rediss' | 'redis-sentinel' | 'redis-cluster', readonly string[]> = {
  redis: [],
  rediss: [],
  'redis-sentinel': ['tls', 'db', 'sentinel_password'],
  'redis-cluster': ['tls'],
}

const EXPECTED =
  'lmdb:PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis-sentinel://H1:P,H2:P/NAME or redis-cluster://H1:P,H2:P'

/**
 * Reads a `STORE_URL`. Sentinel and Cluster take `?tls=true`, Sentinel also `?db=N` and `?sentinel_password=…`.
 *
 * @throws {TypeError} with a message that continues "STORE_URL …" and repeats nothing of the URL, which may hold a password.
 */
export function parseStoreUrl(url: string): StoreLocation {
  if (url.startsWith('lmdb:')) {
    const folder = url.slice('lmdb:'.length)
    if (folder === '') throw new TypeError('names no folder after lmdb:')
    return { kind: 'lmdb', folder }
  }
  const match = REDIS.exec(url)
  if (!match) throw new TypeError(`is none of ${EXPECTED}`)
  const [, scheme, credentials, hosts = '', path = '', query] = match
  const options = new URLSearchParams(query)
  const known = OPTIONS[scheme as keyof typeof OPTIONS]
  for (const option of options.keys()) {
    if (!known.includes(option)) throw new TypeError('has an option that this kind of store does not know')
  }
  if (!['true', 'false', null].includes(options.get('tls')))
    throw new TypeError('has a tls that is not true or false')
  const access: RedisAccess = {
    tls: scheme === 'rediss' || options.get('tls') === 'true',
    ...parseCredentials(credentials),
  }
  if (scheme === 'redis' || scheme === 'rediss') {
    const [only, ...others] = parseHosts(hosts, 6379)
    if (!only || others.length > 0)
      throw new TypeError('names several hosts: use redis-sentinel:// or redis-cluster://')
    return { kind: 'redis', ...only, db: parseDb(path), ...access }
  }
  if (scheme === 'redis-sentinel') {
    if (path === '') throw new TypeError('names no primary: redis-sentinel://H1:P,H2:P/NAME')
    const sentinelPassword = options.get('sentinel_password')
    return {
      kind: 'redis-sentinel',
      sentinels: parseHosts(hosts, 26379),
      name: decode(path),
      db: parseDb(options.get('db') ?? ''),
      ...(sentinelPassword !== null && { sentinelPassword }),
      ...access,
    }
  }
  if (path !== '') throw new TypeError('names a database, and Redis Cluster has only one')
  return { kind: 'redis-cluster', nodes: parseHosts(hosts, 6379), ...access }
}

/** The URL as it may be shown: its password and its query replaced. */
export function redactStoreUrl(url: string): string {
  return url.replace(/:\/\/[^@/]*@/, '://***@').replace(/\?.*$/, '?***')
}

function parseCredentials(text: string | undefined): Pick<RedisAccess, 'username' | 'password'> {
  if (text === undefined) return {}
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? undefined : decode(text.slice(colon + 1))
  return { ...(username !== '' && { username }), ...(password !== undefined && { password }) }
}

function parseHosts(text: string, defaultPort: number): HostPort[] {
  return text.split(',').map((item) => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(item)
    const port = Number(match?.[2] ?? defaultPort)
    if (!match?.[1] || port < 1 || port > 65535)
      throw new TypeError('has a host that is not HOST or HOST:PORT')
    return { host: match[1].replace(/^\[|\]$/g, ''), port }
  })
}

function parseDb(text: string): number {
  if (!/^\d{0,4}$/.test(text)) throw new TypeError('has a database that is not a number')
  return Number(text)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new TypeError('has a bad percent escape')
  }
}
