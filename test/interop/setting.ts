import type { Test } from 'tap'
import { type Deployment, deploy, type StoreKind } from '../support/deployment.ts'
import { freePort } from '../support/free-port.ts'
import type { AuthMethod, ClientIdentity } from './client-library.ts'

export const USER = { username: 'ada', password: 'correct horse, 50 € & a %+ staple' } as const
/** The audience, and the client by which the resource server introspects: they are often called the same. */
export const API = 'api'

/** A server process whose issuer is where it listens, with a confidential and a public client and a user. */
export interface Setting {
  readonly deployment: Deployment
  readonly issuer: string
  readonly sub: string
  /** A client of the kind that uses this method. */
  client(method: AuthMethod): ClientIdentity
  /** The resource server as a client, for introspection. */
  api(method: AuthMethod): ClientIdentity
}

/** @param path the issuer's, empty for none. */
export async function prepare(t: Test, kind: StoreKind, path = ''): Promise<Setting> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}${path}`
  const deployment = await deploy(t, kind, {
    env: { PORT: String(port), ISSUER: issuer, SIGN_IN_FAILURES_PER_ACCOUNT: '1000' },
  })
  const registration = { scopes: ['read', 'write'], audiences: [API] }
  const secrets: Record<string, string> = {
    web: await deployment.addConfidentialClient('web', {
      ...registration,
      grants: ['password', 'refresh_token', 'client_credentials'],
    }),
    [API]: await deployment.addConfidentialClient(API, {
      grants: ['client_credentials'],
      audiences: [API],
      mayIntrospect: true,
    }),
  }
  await deployment.addClient('app', registration)
  const sub = await deployment.addUser(USER.username, USER.password)
  const identity = (clientId: string, method: AuthMethod) => ({
    issuer,
    clientId,
    secret: secrets[clientId] ?? '',
    method,
  })
  return {
    deployment,
    issuer,
    sub,
    client: (method) => identity(method === 'none' ? 'app' : 'web', method),
    api: (method) => identity(API, method),
  }
}
