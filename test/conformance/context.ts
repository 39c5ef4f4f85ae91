import type { Test } from 'tap'
import type { Client } from '../../src/accounts/client.ts'
import { type Keys, loadKeys } from '../../src/keys/key-files.ts'
import { type Deployment, deploy, type StoreKind } from '../support/deployment.ts'
import {
  type Answer,
  ask,
  basic,
  claimsOf,
  type Form,
  type Headers,
  inTheEnd,
  postForm,
  type Tokens,
  tokensOf,
} from '../support/http-client.ts'
import type { CliResult, ServerProcess } from '../support/processes.ts'

/** What a request proves its client with: form parameters, or a header. */
export type ClientProof = {
  readonly client_id?: string
  readonly client_secret?: string
}

export type Parameters = Readonly<Record<string, string | undefined>>

/** The user that rows share; none of them changes it. */
export const ADA = { username: 'ada', password: 'correct horse battery staple' } as const
/** A public client that rows share, for password and refresh_token. */
export const APP = { client_id: 'app' } as const

/** The deployment that every row has in common. */
export interface Stage {
  readonly kind: StoreKind
  readonly deployment: Deployment
  readonly server: ServerProcess
  readonly keys: Keys
  readonly adaSub: string
  /** A confidential client with every grant, by its parameters in the body. */
  readonly web: Required<ClientProof>
  /** A resource server: a confidential client that may introspect what is for its audience. */
  readonly api: Required<ClientProof>
}

/** What a row works with: the shared deployment, asked from a network of the row's own. */
export interface Context extends Stage {
  readonly url: string
  /** Where the row's requests come from: failures are counted by network. */
  readonly from: Headers
  get(path: string, headers?: Headers): Promise<Answer>
  send(method: string, path: string, headers?: Headers, body?: string | Buffer): Promise<Answer>
  token(form: Form, headers?: Headers): Promise<Answer>
  revoke(form: Form, headers?: Headers): Promise<Answer>
  introspect(form: Form, headers?: Headers): Promise<Answer>
  /** Signs in; ada at the shared public client unless told otherwise. @throws Error unless the answer is 200. */
  signIn(form?: Parameters): Promise<Tokens>
  tryRefresh(tokens: Pick<Tokens, 'refresh_token'>, form?: Parameters): Promise<Answer>
  refresh(tokens: Pick<Tokens, 'refresh_token'>, form?: Parameters): Promise<Tokens>
  /** Registers a client. @returns its parameters in the body. */
  register(clientId: string, registration?: Partial<Client>): Promise<ClientProof>
  registerConfidential(clientId: string, registration?: Partial<Client>): Promise<Required<ClientProof>>
  /** Runs a command beside the server. @throws Error unless it ends with 0. */
  pawl(args: string[], stdin?: string): Promise<CliResult>
}

const SCOPES = ['read', 'write']

/** Prepares the deployment that the rows share. The server counts a proxy on loopback in, so that each row has a network. */
export async function prepareStage(t: Test, kind: StoreKind): Promise<Stage> {
  const deployment = await deploy(t, kind)
  await deployment.addClient(APP.client_id, { scopes: SCOPES })
  const webSecret = await deployment.addConfidentialClient('web', {
    grants: ['password', 'refresh_token', 'client_credentials'],
    scopes: SCOPES,
  })
  const server = await deployment.startServer({ TRUST_PROXY: '127.0.0.1' })
  // The default audience is the issuer, whose port the server chose.
  const apiSecret = await deployment.addConfidentialClient('api', {
    grants: [],
    mayIntrospect: true,
    audiences: [issuerOf(server)],
  })
  const adaSub = await deployment.addUser(ADA.username, ADA.password)
  return {
    kind,
    deployment,
    server,
    keys: await loadKeys(String(deployment.env.KEYS_DIR)),
    adaSub,
    web: { client_id: 'web', client_secret: webSecret },
    api: { client_id: 'api', client_secret: apiSecret },
  }
}

/** The issuer of a server that was not told one. */
export function issuerOf({ port }: Pick<ServerProcess, 'port'>): string {
  return `http://localhost:${port}`
}

/** The stage as one row sees it. @param network a number of the row's own. */
export function contextOf(stage: Stage, network: number): Context {
  const { deployment, server } = stage
  return { ...stage, ...clientOf(server.url, network), ...registrar(deployment) }
}

/** How to ask a server, from one network. */
export function clientOf(url: string, network: number) {
  const from = { 'x-forwarded-for': `198.18.${network}.7` }
  const post = (path: string) => (form: Form, headers?: Headers) =>
    postForm(`${url}${path}`, form, { ...from, ...headers })
  const askToken = post('/token')
  const token: Context['token'] = (...request) => inTheEnd(() => askToken(...request))
  const tryRefresh: Context['tryRefresh'] = ({ refresh_token }, form = APP) =>
    token({ grant_type: 'refresh_token', refresh_token, ...form })
  const send: Context['send'] = (method, path, headers, body) =>
    ask(`${url}${path}`, {
      method,
      headers: { ...from, ...headers },
      ...(body !== undefined && { body }),
    })
  return {
    url,
    from,
    send,
    get: (path: string, headers?: Headers) => send('GET', path, headers),
    token,
    revoke: post('/revoke'),
    introspect: post('/introspect'),
    signIn: async (form: Parameters = {}) =>
      tokensOf(await token({ grant_type: 'password', ...APP, ...ADA, ...form })),
    tryRefresh,
    refresh: async (...args: globalThis.Parameters<typeof tryRefresh>) => tokensOf(await tryRefresh(...args)),
  }
}

function registrar(deployment: Deployment) {
  return {
    async register(clientId: string, registration: Partial<Client> = {}) {
      await deployment.addClient(clientId, { scopes: SCOPES, ...registration })
      return { client_id: clientId }
    },
    async registerConfidential(clientId: string, registration: Partial<Client> = {}) {
      const client_secret = await deployment.addConfidentialClient(clientId, {
        scopes: SCOPES,
        ...registration,
      })
      return { client_id: clientId, client_secret }
    },
    async pawl(args: string[], stdin = '') {
      const result = await deployment.cli(args, stdin)
      if (result.code !== 0)
        throw new Error(`pawl ${args.join(' ')} ended with ${result.code}: ${result.stderr}`)
      return result
    },
  }
}

/** `client_secret_basic` instead of the parameters. */
export function basicOf({ client_id, client_secret }: Required<ClientProof>): { authorization: string } {
  return basic(client_id, client_secret)
}

/** The session that tokens belong to. */
export function sidOf({ access_token }: Pick<Tokens, 'access_token'>): string {
  return String(claimsOf(access_token).sid)
}

/** The session's record. */
export function recordOf({ deployment }: Pick<Stage, 'deployment'>, tokens: Tokens) {
  return deployment.recordOf(sidOf(tokens))
}

/** All of an answer that a client can tell it from another by. */
export function shapeOf({ status, headers: { date: _, ...headers }, text }: Answer) {
  return { status, headers, text }
}

/** Runs the work for each item, at most `limit` at once. */
export async function eachOf<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const rest = items.entries()
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (const [index, item] of rest) await work(item, index)
    }),
  )
}
