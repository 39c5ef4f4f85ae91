import {
  type Client,
  clientIdFault,
  hashClientSecret,
  newClient,
  newClientSecret,
  withRegistration,
} from '../accounts/client.ts'
import type { AuditEventName } from '../audit/event.ts'
import { readConfig } from '../config/config.ts'
import type { ClientChange, Store } from '../stores/contract.ts'
import { gather } from '../stores/sound-records.ts'
import { createClient } from '../stores/subjects.ts'
import {
  type Command,
  CommandError,
  JSON_OPTION,
  noOperands,
  onlyOperand,
  type Surroundings,
  UsageError,
} from './command.ts'
import { REGISTRATION_OPTIONS, readRegistration } from './registration.ts'
import { table, time } from './table.ts'
import { withStore } from './with-store.ts'

/** Finds a client. @throws {CommandError} when there is none. */
export async function requireClient(store: Store, clientId: string): Promise<Client> {
  const client = await store.clients.find(clientId)
  if (!client) throw noClient(clientId)
  return client
}

const noClient = (clientId: string) =>
  new CommandError(`There is no client ${JSON.stringify(clientId)}. See: pawl client list`)

/**
 * Changes a client that was found.
 *
 * @throws {CommandError} when somebody has deleted it since.
 */
export async function changeClient(store: Store, clientId: string, change: ClientChange): Promise<void> {
  if (!(await store.clients.change(clientId, change))) throw noClient(clientId)
}

const shown = ({ secretHash: _, epoch: __, ...client }: Client) => client

const add: Command = {
  name: 'client add',
  operands: 'ID',
  summary: 'register a client; prints the generated secret of a confidential one, once',
  details:
    'Without --grant a client may use password and refresh_token. A token request without a scope gets every --scope.\n' +
    'Without --audience its access tokens are for DEFAULT_AUDIENCE.',
  options: {
    public: { type: 'boolean', help: 'it cannot keep a secret: mobile, desktop, browser' },
    confidential: { type: 'boolean', help: 'it can: a server' },
    ...REGISTRATION_OPTIONS,
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    const clientId = onlyOperand(args, 'ID')
    const fault = clientIdFault(clientId)
    if (fault) throw new UsageError(`the ID ${fault}`)
    if (args.values.public === args.values.confidential) {
      throw new UsageError('give one of --public and --confidential')
    }
    const type = args.values.public ? 'public' : 'confidential'
    const secret = type === 'confidential' ? newClientSecret() : undefined
    const client = newClient({
      clientId,
      type,
      grants: ['password', 'refresh_token'],
      ...readRegistration(args),
      ...(secret && { secretHash: hashClientSecret(secret) }),
    })
    requireConsistent(client)
    requireSigned(client, surroundings)
    await withStore(surroundings, async (store, audit) => {
      const answer = await createClient(store, client)
      if (answer === 'is_a_sub') {
        throw new CommandError(
          `A user has the sub ${JSON.stringify(client.clientId)}, and tokens must tell the two apart: take another ID`,
        )
      }
      if (answer !== 'created') {
        throw new CommandError(`There is a client ${JSON.stringify(client.clientId)} already`)
      }
      audit({ event: 'client.created', client_id: clientId })
    })
    if (args.values.json) {
      surroundings.print(
        JSON.stringify({ client_id: client.clientId, ...(secret && { client_secret: secret }) }),
      )
      return 0
    }
    surroundings.print(`Registered the ${client.type} client ${client.clientId}`)
    if (secret) printSecret(surroundings.print, secret)
    return 0
  },
}

function printSecret(print: (line: string) => void, secret: string): void {
  print(`client_secret: ${secret}`)
  print('It is shown this once; only its hash is kept.')
}

/** What a client of this type may be registered for. */
function requireConsistent(client: Pick<Client, 'type' | 'grants' | 'mayIntrospect'>): void {
  if (client.type === 'confidential') return
  if (client.grants.includes('client_credentials')) {
    throw new UsageError('--grant client_credentials is for confidential clients only')
  }
  if (client.mayIntrospect) throw new UsageError('--introspect yes is for confidential clients only')
}

/** What nothing is signed with would be silently replaced by what is. */
function requireSigned({ signingAlg }: Partial<Client>, { environment }: Surroundings): void {
  if (signingAlg === undefined) return
  const { signingAlgs } = readConfig(environment)
  if (signingAlgs.includes(signingAlg)) return
  throw new CommandError(
    `SIGNING_ALG is ${signingAlgs.join()} here, so nothing is signed with ${signingAlg}: add it there first, for the ` +
      `server too (SIGNING_ALG=${[...signingAlgs, signingAlg].join()})`,
  )
}

const update: Command = {
  name: 'client update',
  operands: 'ID',
  summary: 'replace what is given here of a client’s registration',
  details:
    'A list is replaced as a whole; --scope "" empties it. Sessions that were granted more than the client now has get\n' +
    'what is left.',
  options: REGISTRATION_OPTIONS,
  async run(args, surroundings) {
    const clientId = onlyOperand(args, 'ID')
    const change = readRegistration(args)
    if (Object.keys(change).length === 0) throw new UsageError('nothing to change was given')
    requireSigned(change, surroundings)
    await withStore(surroundings, async (store, audit) => {
      const client = await requireClient(store, clientId)
      requireConsistent({ ...client, ...change })
      await changeClient(store, clientId, withRegistration(client, change))
      audit({ event: 'client.changed', client_id: clientId, changed: Object.keys(change) })
    })
    surroundings.print('The registration is changed')
    return 0
  },
}

const list: Command = {
  name: 'client list',
  operands: '',
  summary: 'list the registered clients',
  options: JSON_OPTION,
  async run(args, surroundings) {
    noOperands(args)
    const { found: clients, fault } = await withStore(surroundings, (store) => gather(store.clients.list()))
    clients.sort((a, b) => a.clientId.localeCompare(b.clientId))
    if (args.values.json) {
      for (const client of clients) surroundings.print(JSON.stringify(shown(client)))
      if (fault) throw fault
      return 0
    }
    const rows = clients.map((client) => [
      client.clientId,
      client.type,
      client.disabled ? 'disabled' : 'enabled',
      client.grants.join(' '),
      client.scopes.join(' ') || '-',
      time(client.createdAt),
    ])
    for (const line of table(['ID', 'TYPE', 'STATE', 'GRANTS', 'SCOPES', 'CREATED'], rows))
      surroundings.print(line)
    if (fault) throw fault
    return 0
  },
}

const rotateSecret: Command = {
  name: 'client rotate-secret',
  operands: 'ID',
  summary: 'replace the secret of a confidential client; the old one ends at once',
  options: JSON_OPTION,
  async run(args, surroundings) {
    const clientId = onlyOperand(args, 'ID')
    const secret = newClientSecret()
    await withStore(surroundings, async (store, audit) => {
      const client = await requireClient(store, clientId)
      if (client.type === 'public')
        throw new CommandError(`The client ${clientId} is public and has no secret`)
      await changeClient(store, clientId, { secretHash: hashClientSecret(secret) })
      audit({ event: 'client.secret_rotated', client_id: clientId })
    })
    if (args.values.json) {
      surroundings.print(JSON.stringify({ client_id: clientId, client_secret: secret }))
    } else {
      printSecret(surroundings.print, secret)
    }
    return 0
  },
}

/** A command that does one thing to one client. */
function oneClient(
  verb: string,
  summary: string,
  event: AuditEventName,
  act: (store: Store, clientId: string) => Promise<void>,
  done: string,
): Command {
  return {
    name: `client ${verb}`,
    operands: 'ID',
    summary,
    options: {},
    async run(args, surroundings) {
      const clientId = onlyOperand(args, 'ID')
      await withStore(surroundings, async (store, audit) => {
        await act(store, clientId)
        audit({ event, client_id: clientId })
      })
      surroundings.print(done)
      return 0
    },
  }
}

const changing = (change: ClientChange) => async (store: Store, clientId: string) => {
  await requireClient(store, clientId)
  await changeClient(store, clientId, change)
}

export const CLIENT_COMMANDS: readonly Command[] = [
  add,
  update,
  list,
  oneClient(
    'disable',
    'refuse every request of a client; its sessions wait until it is enabled again',
    'client.disabled',
    changing({ disabled: true }),
    'The client is disabled',
  ),
  oneClient(
    'enable',
    'let a disabled client work again',
    'client.enabled',
    changing({ disabled: false }),
    'The client may make requests again',
  ),
  rotateSecret,
  oneClient(
    'delete',
    'delete a client, and end all its sessions',
    'client.deleted',
    // Not read first: a damaged one is deleted so, to be made anew.
    async (store, clientId) => {
      if (clientIdFault(clientId) || !(await store.clients.delete(clientId))) throw noClient(clientId)
    },
    'The client is deleted; all its sessions have ended',
  ),
]
