import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { hashClientSecret, newClient, newClientSecret } from '../../src/accounts/client.ts'
import { IN_COMMAND, startPasswordHashing } from '../../src/accounts/password-hashing.ts'
import { newEpoch, newSub, type User } from '../../src/accounts/user.ts'
import { type Around, aroundStore } from '../../src/stores/around-store.ts'
import type { Store } from '../../src/stores/contract.ts'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { type Answer, encode, FORM_TYPE, type Form, postForm } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { type TimeMachine, timeMachine } from '../support/time-machine.ts'
import { until } from '../support/until.ts'
import { startUserbase } from './elsewhere.ts'
import type { Caller } from './law.ts'
import { AUDIENCES, type Beginning, GRACE_S, GRANTS, IDLE_S, MAX_S, SCOPES } from './model.ts'

export const PASSWORDS = ['the first long password', 'the second long password'] as const

/** How many ways a request can come. */
export const SENDERS = 3

/** The real thing: two servers on one store, and a hand in the store. */
export interface World {
  readonly machine: TimeMachine
  /** A user and clients of one history's own. */
  populate(beginning: Beginning): Promise<Population>
  /** kill -9, and a new process at the same ports. */
  restart(server: number): Promise<void>
  /** How often the store was late, so that something was asked again. */
  disturbances(): number
}

/** Who makes a request, from where, and of which server. */
export interface Way {
  readonly client: Caller
  readonly sender: number
  readonly server: number
}

export interface Population {
  readonly user: User
  readonly clientIds: readonly string[]
  readonly passwordHashes: readonly string[]
  /** Asks again where the answer is 503: on a machine that is busy with other things the store is late now and then. */
  post(way: Way, path: string, form: Record<string, string | undefined>): Promise<Answer>
  /** Sends the request and cuts the connection when its answer begins: it ran, and nobody knows. */
  postAndLoseAnswer(way: Way, path: string, form: Record<string, string | undefined>): Promise<void>
  /** The lines that all servers have written about these clients, as far as they have come. */
  logLines(): LogLine[]
  /** The user is no longer known where users live. */
  forgetUser(): void
  /** The history is over: nothing is kept of it outside the servers. */
  forget(): void
}

export interface LogLine {
  readonly event?: string
  readonly route?: string
  readonly status?: number
  readonly decision?: string
  readonly grant_type?: string
  readonly error?: string
  readonly reason?: string
  readonly client_id?: string
}

const RESOURCE_SERVER = 'resource-server'
/** More than all histories can fail, in any of the budgets. */
const MANY = '100000'

let populations = 0

export async function createWorld(t: Test, kind: StoreKind): Promise<World> {
  const userbase = await startUserbase(t)
  const deployment = await deploy(t, kind, {
    env: {
      ISSUER: 'http://localhost:9000',
      REFRESH_TOKEN_GRACE: String(GRACE_S),
      REFRESH_TOKEN_IDLE_TTL: String(IDLE_S),
      REFRESH_TOKEN_MAX_TTL: String(MAX_S),
      // It ends by the servers' clocks, which no history moves; so by these it never does.
      ACCESS_TOKEN_TTL: '7200',
      // The cheapest to sign with, and the same token is the same text.
      SIGNING_ALG: 'EdDSA',
      TRUST_PROXY: '127.0.0.1',
      SIGN_IN_FAILURES_PER_ACCOUNT: MANY,
      SIGN_IN_FAILURES_PER_NETWORK: MANY,
      SIGN_IN_FAILURES_IN_TOTAL: MANY,
      ...userbase.env,
    },
  })
  const servers = [await deployment.startServer(), await deployment.startServer()]
  const hand = await timeMachine(deployment)
  t.teardown(() => hand.close())
  let disturbances = 0
  /** For the same reason as requests are. */
  const patiently: Around = async (verb, question) => {
    const ask = async () => {
      try {
        return { answer: await question() }
      } catch (error) {
        disturbances += 1
        throw error
      }
    }
    return (await until(`the store answers ${verb}`, ask)).answer
  }
  const disturbed = (error: unknown) => {
    disturbances += 1
    throw error
  }
  const machine: TimeMachine = {
    ...hand,
    store: aroundStore(hand.store as Store, patiently),
    // Not asked again: what was late may have been done.
    pass: (sid, ms) => hand.pass(sid, ms).catch(disturbed),
    putBack: (sid, snapshot) => hand.putBack(sid, snapshot).catch(disturbed),
  }
  const hashing = startPasswordHashing(IN_COMMAND)
  const passwordHashes = await Promise.all(PASSWORDS.map((password) => hashing.hash(password)))
  await hashing.close()
  const secret = newClientSecret()
  const secretHash = hashClientSecret(secret)
  await machine.store.clients.create(
    newClient({
      clientId: RESOURCE_SERVER,
      type: 'confidential',
      secretHash,
      grants: ['client_credentials'],
      audiences: AUDIENCES,
      mayIntrospect: true,
    }),
  )

  const log = new Map<string, LogLine[]>()
  const listen = (server: ServerProcess) =>
    server.onLine((line) => {
      if (!line.includes('"client_id"')) return
      const entry = JSON.parse(line) as LogLine
      log.get(String(entry.client_id))?.push(entry)
    })
  servers.forEach(listen)

  return {
    machine,
    async populate({ policies, confidential, livesElsewhere }) {
      populations += 1
      const number = populations
      const name = `h${process.pid}-${number}`
      const user: User = {
        sub: newSub(),
        username: name,
        ...(!livesElsewhere && { passwordHash: passwordHashes[0]! }),
        disabled: false,
        claims: {},
        epoch: newEpoch(),
        createdAt: Date.now(),
      }
      if (livesElsewhere) userbase.add(user, PASSWORDS[0])
      const clientIds = policies.map((_, i) => `${name}-${i}`)
      const clients = policies.map((policy, i) =>
        newClient({
          clientId: clientIds[i]!,
          ...(confidential[i] ? { type: 'confidential', secretHash } : { type: 'public' }),
          grants: GRANTS,
          scopes: SCOPES,
          audiences: AUDIENCES,
          ...(policy === 'strict' && { refreshTokenGrace: 0 }),
          ...(policy === 'observe' && { onReuse: 'observe' }),
        }),
      )
      for (const id of clientIds) log.set(id, [])
      const { store } = machine
      await Promise.all([store.users.create(user), ...clients.map((client) => store.clients.create(client))])

      const credentialsOf = (client: Caller) => {
        if (client === 'resource server') return { client_id: RESOURCE_SERVER, client_secret: secret }
        return { client_id: clientIds[client], ...(confidential[client] && { client_secret: secret }) }
      }
      return {
        user,
        clientIds,
        passwordHashes,
        post: ({ client, sender, server }, path, form) =>
          until(`${path} is answered`, async () => {
            const url = `${servers[server]!.url}${path}`
            const whole = { ...credentialsOf(client), ...form }
            const answer = await postForm(url, whole, headersOf(number, sender))
            if (answer.status !== 503) return answer
            disturbances += 1
            return false
          }),
        async postAndLoseAnswer({ client, sender, server }, path, form) {
          const socket = connect(servers[server]!.port, '127.0.0.1')
          socket.write(textOf(path, { ...credentialsOf(client), ...form }, headersOf(number, sender)))
          await once(socket, 'readable')
          // Nothing may have come of it, of which the model knows nothing.
          if (String(socket.read()).startsWith('HTTP/1.1 503')) disturbances += 1
          socket.destroy()
        },
        logLines: () => clientIds.flatMap((id) => log.get(id)!),
        forgetUser: () => userbase.remove(user),
        forget() {
          userbase.remove(user)
          for (const id of clientIds) log.delete(id)
          for (const server of servers) server.forget()
        },
      }
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
    disturbances: () => disturbances,
  }
}

/**
 * The first sender of a population and the second differ in their agent, the third comes from another network. Each
 * population has networks of its own, because clients that fail to authenticate are counted by network.
 */
function headersOf(population: number, sender: number): Record<string, string> {
  const network = sender === 2 ? 11 : 10
  return {
    'user-agent': sender === 1 ? 'another agent' : 'an agent',
    'x-forwarded-for': `${network}.${(population >> 8) & 255}.${population & 255}.1`,
  }
}

function textOf(path: string, form: Form, headers: Record<string, string>): string {
  const body = String(encode(form))
  const all = { host: 'x', 'content-type': FORM_TYPE, 'content-length': body.length, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
