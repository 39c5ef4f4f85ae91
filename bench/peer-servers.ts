import { spawnSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { freePort } from '../test/support/free-port.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { until } from '../test/support/until.ts'
import { prepareAccounts, prepareUsers } from './accounts.ts'
import type { Cores } from './cores.ts'
import type { DialectName } from './dialects.ts'
import { type BenchServer, type Program, pawl, type SpawnedServer, spawnServer } from './server.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PEERS = join(ROOT, 'bench/peers')
/** What the peers put into their access tokens, as CLIENT has it for Pawl. */
export const AUDIENCE = 'https://api.example.com'

/** A server to be measured. */
export interface Contender {
  readonly name: string
  readonly dialect: DialectName
  /** Holds its package.json, package-lock.json and node_modules. */
  readonly folder: string
  /** The package whose version it goes by; none where it is only a program of ours. */
  readonly package?: string
}

function peer(name: string, dialect: DialectName, ofPackage?: string): Contender {
  return { name, dialect, folder: join(PEERS, name), ...(ofPackage && { package: ofPackage }) }
}

export const PAWL: Contender = { name: 'pawl', dialect: 'oauth', folder: ROOT }

export const CONTENDERS: readonly Contender[] = [
  PAWL,
  peer('oidc-provider', 'oauth', 'oidc-provider'),
  peer('node-oauth2-server', 'oauth', '@node-oauth/oauth2-server'),
  peer('jmondi-oauth2-server', 'oauth', '@jmondi/oauth2-server'),
  peer('better-auth', 'better-auth', 'better-auth'),
  peer('tutorial', 'tutorial'),
]

/** Installs what a peer needs, exactly as its lockfile has it, unless that was done before. */
export function install({ name, folder }: Contender, progress: (line: string) => void): void {
  // npm writes this file when it is done.
  if (folder === ROOT || existsSync(join(folder, 'node_modules/.package-lock.json'))) return
  progress(`npm ci for ${name}`)
  const { status } = spawnSync(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  if (status !== 0) throw new Error(`npm ci for ${name} failed; --only leaves a server out`)
}

export function versionOf({ folder, package: name }: Contender): string {
  const file = join(folder, name === undefined ? 'package.json' : `node_modules/${name}/package.json`)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version?: string }).version ?? '-'
}

/** A server that runs, on a Redis of its own with users in it. */
export interface Running {
  readonly contender: Contender
  readonly redis: RedisServer
  readonly server: BenchServer
  readonly usernames: readonly string[]
  /** A second server of the same kind on the same store and keys. Its caller stops it. */
  another(): Promise<SpawnedServer>
  /** The keys by which access tokens are verified. */
  verificationKeys(): Promise<KeyObject | ReturnType<typeof createLocalJWKSet>>
  stop(): Promise<void>
}

export async function start(cores: Cores, contender: Contender, users: number): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    // Neither of the two is the server's, and both take memory.
    const redis = await startRedis({ aof: 'everysec', config: ['--slowlog-log-slower-than', '-1'] })
    undo.push(() => redis.stop())
    await redis.cli('CONFIG', 'SET', 'latency-tracking', 'no').catch(() => undefined)
    const prepared = await (contender === PAWL ? preparePawl : preparePeer)(contender, redis, folder, users)
    const another = async () => spawnServer(cores, await prepared.program())
    const server = await another()
    undo.push(() => server.stop())
    await untilListening(server)
    const { usernames } = prepared
    const verificationKeys = () => prepared.verificationKeys(server)
    return { contender, redis, server, usernames, another, verificationKeys, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** @throws Error when it ends before that. */
export async function untilListening(server: SpawnedServer): Promise<void> {
  await until('the server answers', async () => {
    if (server.hasEnded()) return 'ended'
    const answer = await fetch(server.url)
    await answer.arrayBuffer()
    return answer.status > 0
  })
  if (server.hasEnded()) throw new Error('the server ended before it answered')
}

interface Prepared {
  readonly usernames: readonly string[]
  program(): Promise<Program>
  verificationKeys(server: BenchServer): ReturnType<Running['verificationKeys']>
}

async function preparePawl(
  _: Contender,
  redis: RedisServer,
  folder: string,
  count: number,
): Promise<Prepared> {
  const usernames = await prepareAccounts(redis.url, count)
  return {
    usernames,
    program: async () => {
      const { args, env } = pawl(redis.url, join(folder, 'keys'), await freePort())
      return { args, env: { NODE_ENV: 'production', ...env } }
    },
    verificationKeys: async ({ url }) => {
      const answer = await fetch(`${url}/.well-known/jwks.json`)
      return createLocalJWKSet((await answer.json()) as JSONWebKeySet)
    },
  }
}

/** The peers' directory is a row per user, with a hash made at Pawl's cost. */
async function preparePeer(
  contender: Contender,
  redis: RedisServer,
  folder: string,
  count: number,
): Promise<Prepared> {
  const scratch = `lmdb:${join(folder, 'users')}`
  const users = (await prepareUsers(scratch, count)).map(({ sub, username, passwordHash }) => ({
    id: sub,
    username,
    passwordHash,
  }))
  const client = redis.client()
  for (const user of users) await client.set(`user:${user.username}`, JSON.stringify(user))
  client.disconnect()
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keyFile = join(folder, 'key.pem')
  await writeFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const usersFile = join(folder, 'users.json')
  await writeFile(usersFile, JSON.stringify(users))
  const env = {
    NODE_ENV: 'production',
    REDIS_URL: redis.url,
    KEY_FILE: keyFile,
    USERS_FILE: usersFile,
    REFRESH_SECRET: randomBytes(32).toString('hex'),
    ISSUER: 'http://localhost:9000',
    AUDIENCE,
  }
  return {
    usernames: users.map(({ username }) => username),
    program: async () => ({ args: [join(contender.folder, 'server.js')], env }),
    verificationKeys: async () => createPublicKey(privateKey),
  }
}
