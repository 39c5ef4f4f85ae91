import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { newClient } from '../../src/accounts/client.ts'
import { IN_COMMAND, startPasswordHashing } from '../../src/accounts/password-hashing.ts'
import { newEpoch, newSub, type User } from '../../src/accounts/user.ts'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { type Answer, encode, FORM_TYPE, type Form, postForm } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { type TimeMachine, timeMachine } from '../support/time-machine.ts'
import { GRACE_S, IDLE_S, MAX_S, type Policy, SCOPE } from './model.ts'

export const PASSWORDS = ['the first long password', 'the second long password'] as const

/** The real thing: two servers on one store, and a hand in the store. */
export interface World {
  readonly servers: ServerProcess[]
  readonly machine: TimeMachine
  /** A user and clients of one history's own. */
  populate(policies: readonly Policy[]): Promise<Population>
  post(server: number, path: string, form: Form): Promise<Answer>
  /** Sends the request and cuts the connection when its answer begins: it ran, and nobody knows. */
  postAndLoseAnswer(server: number, path: string, form: Form): Promise<void>
  /** kill -9, and a new process at the same ports. */
  restart(server: number): Promise<void>
  /** The lines that all servers have written about these clients, as far as they have come. */
  linesOf(clientIds: readonly string[]): LogLine[]
}

export interface Population {
  readonly user: User
  readonly clientIds: readonly string[]
  readonly passwordHashes: readonly string[]
}

export interface LogLine {
  readonly event?: string
  readonly decision?: string
  readonly reason?: string
  readonly client_id?: string
  readonly sid?: string
}

let populations = 0

export async function createWorld(t: Test, kind: StoreKind): Promise<World> {
  const deployment = await deploy(t, kind, {
    env: {
      ISSUER: 'http://localhost:9000',
      REFRESH_TOKEN_GRACE: String(GRACE_S),
      REFRESH_TOKEN_IDLE_TTL: String(IDLE_S),
      REFRESH_TOKEN_MAX_TTL: String(MAX_S),
    },
  })
  const servers = [await deployment.startServer(), await deployment.startServer()]
  const machine = await timeMachine(deployment)
  t.teardown(() => machine.close())
  const hashing = startPasswordHashing(IN_COMMAND)
  const passwordHashes = await Promise.all(PASSWORDS.map((password) => hashing.hash(password)))
  await hashing.close()

  const log = new Map<string, LogLine[]>()
  const listen = (server: ServerProcess) =>
    server.onLine((line) => {
      if (!line.includes('"client_id"')) return
      const entry = JSON.parse(line) as LogLine
      const id = String(entry.client_id)
      log.set(id, [...(log.get(id) ?? []), entry])
    })
  servers.forEach(listen)

  return {
    servers,
    machine,
    async populate(policies) {
      populations += 1
      const name = `h${process.pid}-${populations}`
      const user: User = {
        sub: newSub(),
        username: name,
        passwordHash: passwordHashes[0]!,
        disabled: false,
        claims: {},
        epoch: newEpoch(),
        createdAt: Date.now(),
      }
      await machine.store.users.create(user)
      const clientIds = policies.map((_, i) => `${name}-${i}`)
      for (const [i, policy] of policies.entries()) {
        await machine.store.clients.create(
          newClient({
            clientId: clientIds[i]!,
            type: 'public',
            grants: ['password', 'refresh_token'],
            scopes: SCOPE,
            ...(policy === 'strict' && { refreshTokenGrace: 0 }),
            ...(policy === 'observe' && { onReuse: 'observe' }),
          }),
        )
      }
      return { user, clientIds, passwordHashes }
    },
    post: (server, path, form) => postForm(`${servers[server]!.url}${path}`, form),
    async postAndLoseAnswer(server, path, form) {
      const body = String(encode(form))
      const socket = connect(servers[server]!.port, '127.0.0.1')
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM_TYPE}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      await once(socket, 'readable')
      socket.destroy()
    },
    async restart(server) {
      const { port, managementPort, kill } = servers[server]!
      await kill()
      const next = await deployment.startServer({
        PORT: String(port),
        MANAGEMENT_PORT: String(managementPort),
      })
      listen(next)
      servers[server] = next
    },
    linesOf: (clientIds) => clientIds.flatMap((id) => log.get(id) ?? []),
  }
}
