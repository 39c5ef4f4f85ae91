import { RedisServer, serverArguments } from './redis-server.ts'
import { writeCertificates } from './tls-certificate.ts'

export { type RedisCluster, startCluster } from './redis-cluster.ts'
export { type RedisSentinel, startSentinel } from './redis-sentinel.ts'
export type { RedisServer }

export interface RedisSettings {
  /** The append-only file and its fsync; `true` is `everysec`. Without it nothing is written to disk. */
  aof?: boolean | 'everysec' | 'always'
  /** TLS and no plain port; `caFile` of the result is the authority that a client must trust. */
  tls?: boolean
  password?: string
  /** Further redis-server arguments, such as `['--maxmemory', '10mb']`. */
  config?: string[]
}

/** Starts one standalone Redis of the test's own. */
export function startRedis({
  aof = false,
  tls = false,
  password,
  config = [],
}: RedisSettings = {}): Promise<RedisServer> {
  return RedisServer.start(async (port, dir) => {
    const args = serverArguments(port, dir)
    if (aof) args.push('--appendonly', 'yes', '--appendfsync', aof === true ? 'everysec' : aof)
    if (password) args.push('--requirepass', password)
    const certificates = tls ? await writeCertificates(dir) : undefined
    if (certificates) {
      args.push('--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no')
      args.push('--tls-cert-file', certificates.cert, '--tls-key-file', certificates.key)
      args.push('--tls-ca-cert-file', certificates.ca)
    }
    return {
      args: [...args, ...config],
      ...(password && { password }),
      ...(certificates && { caFile: certificates.ca }),
    }
  })
}
