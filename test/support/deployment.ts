import { join } from 'node:path'
import type { Test } from 'tap'
import { type Client, hashClientSecret, newClient, newClientSecret } from '../../src/accounts/client.ts'
import {
  IN_COMMAND,
  type PasswordHashing,
  startPasswordHashing,
} from '../../src/accounts/password-hashing.ts'
import { addUser } from '../../src/cli/user.ts'
import type { Store } from '../../src/stores/contract.ts'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import type { Family } from '../../src/tokens/family.ts'
import type { Credentials } from './http-client.ts'
import { type CliResult, runCli, type ServerProcess, startServer } from './processes.ts'
import { type RedisServer, type RedisSettings, startRedis } from './redis.ts'
import { until } from './until.ts'

export const STORE_KINDS = ['lmdb', 'redis'] as const
export type StoreKind = (typeof STORE_KINDS)[number]
type Environment = Readonly<Record<string, string>>

/** A store and a KEYS_DIR of a test's own, for servers and commands to share. */
export interface Deployment {
  readonly env: Environment
  readonly cwd: string
  /** The LMDB folder; nothing is in it on Redis. */
  readonly dataDir: string
  readonly redis: RedisServer | undefined
  /** Starts one more server process; it ends with the test. */
  startServer(env?: Environment): Promise<ServerProcess>
  /** @param env variables of this command alone. */
  cli(args: string[], stdin?: string, env?: Environment): Promise<CliResult>
  /** Works on the store beside the servers, as the commands do. It is opened once, and closed with the test. */
  withStore<T>(work: (store: Store) => Promise<T>): Promise<T>
  /** For a test that exchanges the store's files: the next `withStore` opens it anew. */
  closeStore(): Promise<void>
  /** A session's record, in which a time that did not move reads the same. */
  recordOf(sid: string): Promise<Family | undefined>
  /** Registers a public client that may use password and refresh_token, unless told otherwise. */
  addClient(clientId: string, registration?: Partial<Client>): Promise<void>
  /** Registers a confidential client. @returns its secret. */
  addConfidentialClient(clientId: string, registration?: Partial<Client>): Promise<string>
  addUser(username: string, password: string): Promise<string>
  /** A public client and a user of its own, with scope `read write`; returns what a sign-in needs. */
  addAccount(name: string, registration?: Partial<Client>): Promise<Credentials>
}

/** Prepares a store of this kind, and starts nothing but a Redis where that is the kind, or takes the one at an address. */
export async function deploy(
  t: Test,
  kind: StoreKind | { readonly storeUrl: string },
  { env: own = {}, redis: settings = {} }: { env?: Environment; redis?: RedisSettings } = {},
): Promise<Deployment> {
  const cwd = t.testdir()
  const dataDir = join(cwd, 'data')
  const redis = kind === 'redis' ? await startRedis(settings) : undefined
  t.teardown(() => redis?.stop())
  const storeUrl = typeof kind === 'object' ? kind.storeUrl : (redis?.url ?? `lmdb:${dataDir}`)
  const env = { STORE_URL: storeUrl, KEYS_DIR: join(cwd, 'keys'), ...own }

  let hashing: PasswordHashing | undefined
  t.teardown(async () => (await hashing)?.close())

  // LMDB does not take to being opened again and again in one process.
  let opening: Promise<Store> | undefined
  const closeStore = async () => {
    const store = await opening
    opening = undefined
    await store?.close()
  }
  t.teardown(closeStore)
  const ends = new Map<string, number>()

  const deployment: Deployment = {
    env,
    cwd,
    dataDir,
    redis,
    async startServer(more = {}) {
      const server = await startServer({ env: { ...env, ...more }, cwd })
      t.teardown(() => server.stop())
      return server
    },
    cli: (args, stdin = '', more = {}) => runCli(args, { env: { ...env, ...more }, cwd, stdin }),
    async withStore(work) {
      opening ??= openStore(parseStoreUrl(storeUrl), {
        waitReplicas: 0,
        sweeps: false,
        onChange: () => {},
      })
      const store = await opening
      await untilReachable(store, 10_000)
      return work(store)
    },
    closeStore,
    recordOf: (sid) =>
      deployment.withStore(async (store) => {
        const looks: (Family | undefined)[] = []
        for (let i = 0; i < 3; i += 1) looks.push((await store.families.look(sid)).family)
        const [family] = looks
        if (!family) return undefined
        // The Redis store computes this from a time to live: it is a millisecond off now and then, and more where a busy
        // machine let Redis wait just then. Not two times of three.
        const [, end = 0] = looks.map((look) => look?.expiresAt ?? 0).sort((a, b) => a - b)
        const before = ends.get(sid) ?? 0
        const expiresAt = Math.abs(end - before) <= 2 ? before : end
        ends.set(sid, expiresAt)
        return { ...family, expiresAt }
      }),
    addClient: (clientId, registration) =>
      deployment.withStore(async (store) => {
        const defaults = { type: 'public', grants: ['password', 'refresh_token'] } as const
        await store.clients.create(newClient({ ...defaults, ...registration, clientId }))
      }),
    async addConfidentialClient(clientId, registration) {
      const secret = newClientSecret()
      const secretHash = hashClientSecret(secret)
      await deployment.addClient(clientId, { type: 'confidential', secretHash, ...registration })
      return secret
    },
    async addUser(username, password) {
      hashing ??= startPasswordHashing(IN_COMMAND)
      const hasher = hashing
      const user = await deployment.withStore((store) => addUser(store, hasher, username, password))
      return user.sub
    },
    async addAccount(name, registration) {
      const password = `password of ${name}`
      await deployment.addClient(name, { scopes: ['read', 'write'], ...registration })
      await deployment.addUser(name, password)
      return { client_id: name, username: name, password }
    },
  }
  return deployment
}

export interface AuditLine extends Readonly<Record<string, unknown>> {
  readonly event: string
}

/** The audit events that the server has logged so far. */
export function auditEvents(server: ServerProcess): AuditLine[] {
  return server.lines
    .filter((line) => line.includes('"audit":true'))
    .map((line) => JSON.parse(line) as AuditLine)
}

/** Waits for an audit event of this name, and with these members. */
export function auditEvent(
  server: ServerProcess,
  event: string,
  members: Readonly<Record<string, unknown>> = {},
): Promise<AuditLine> {
  return until(`the audit event ${event} ${JSON.stringify(members)}`, () =>
    auditEvents(server).find(
      (line) =>
        line.event === event && Object.entries(members).every(([name, value]) => line[name] === value),
    ),
  )
}
