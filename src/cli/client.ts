import {
  type Client,
  clientIdFault,
  GRANT_TYPES,
  type GrantType,
  hashClientSecret,
  isAudience,
  newClient,
  newClientSecret,
} from '../accounts/client.ts'
import { isScopeToken } from '../oauth/scope.ts'
import type { Store } from '../stores/contract.ts'
import {
  type Arguments,
  type Command,
  CommandError,
  JSON_OPTION,
  noOperands,
  onlyOperand,
  UsageError,
} from './command.ts'
import { table, time } from './table.ts'
import { withStore } from './with-store.ts'

/** Per-client settings: the option, the member of the record, the least and the most, in seconds. */
const DURATIONS = [
  ['access-token-ttl', 'accessTokenTtl', 1, 86_400],
  ['refresh-token-idle-ttl', 'refreshTokenIdleTtl', 1, 316_224_000],
  ['refresh-token-max-ttl', 'refreshTokenMaxTtl', 1, 316_224_000],
  ['refresh-token-grace', 'refreshTokenGrace', 0, 3600],
] as const

/** Finds a client. @throws {CommandError} when there is none. */
export async function requireClient(store: Store, clientId: string): Promise<Client> {
  const client = await store.clients.find(clientId)
  if (!client) throw new CommandError(`There is no client ${JSON.stringify(clientId)}. See: pawl client list`)
  return client
}

function readRegistration(args: Arguments): Omit<Client, 'secretHash'> {
  const { values } = args
  const clientId = onlyOperand(args, 'ID')
  const fault = clientIdFault(clientId)
  if (fault) throw new UsageError(`the ID ${fault}`)
  if (values.public === values.confidential) throw new UsageError('give one of --public and --confidential')
  const grants = many(values.grant).map((grant) => {
    const known = GRANT_TYPES.find((type) => type === grant)
    if (!known) throw new UsageError(`--grant takes ${GRANT_TYPES.join(' or ')}`)
    return known
  })
  const scopes = many(values.scope).flatMap((text) => text.split(' '))
  if (!scopes.every(isScopeToken))
    throw new UsageError('--scope takes a scope token: printable, without quotes or backslashes')
  const audiences = many(values.audience)
  if (!audiences.every(isAudience))
    throw new UsageError('--audience takes 1 to 255 printable characters without a space')
  const onReuse = values['on-reuse'] ?? 'enforce'
  if (onReuse !== 'enforce' && onReuse !== 'observe')
    throw new UsageError('--on-reuse takes enforce or observe')
  return newClient({
    clientId,
    type: values.public ? 'public' : 'confidential',
    grants: unique<GrantType>(grants.length > 0 ? grants : ['password', 'refresh_token']),
    scopes: unique(scopes),
    audiences: unique(audiences),
    onReuse,
    ...readDurations(args),
  })
}

function readDurations({ values }: Arguments): Partial<Client> {
  const durations: Record<string, number> = {}
  for (const [option, member, least, most] of DURATIONS) {
    const text = values[option]
    if (text === undefined) continue
    const value = /^\d{1,9}$/.test(String(text)) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most))
      throw new UsageError(`--${option} takes ${least} to ${most} seconds`)
    durations[member] = value
  }
  return durations
}

const many = (value: Arguments['values'][string]) =>
  Array.isArray(value) ? (value as readonly string[]) : []
const unique = <T>(items: readonly T[]): T[] => [...new Set(items)]

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
    grant: {
      type: 'string',
      multiple: true,
      value: 'G',
      help: `${GRANT_TYPES.join(' or ')}; may be repeated`,
    },
    scope: { type: 'string', multiple: true, value: 'S', help: 'a scope it may ask for; may be repeated' },
    audience: {
      type: 'string',
      multiple: true,
      value: 'A',
      help: 'what its access tokens are for; may be repeated',
    },
    'access-token-ttl': { type: 'string', value: 'SECONDS', help: 'instead of ACCESS_TOKEN_TTL' },
    'refresh-token-idle-ttl': { type: 'string', value: 'SECONDS', help: 'instead of REFRESH_TOKEN_IDLE_TTL' },
    'refresh-token-max-ttl': { type: 'string', value: 'SECONDS', help: 'instead of REFRESH_TOKEN_MAX_TTL' },
    'refresh-token-grace': {
      type: 'string',
      value: 'SECONDS',
      help: 'instead of REFRESH_TOKEN_GRACE; 0 is strict',
    },
    'on-reuse': {
      type: 'string',
      value: 'POLICY',
      help: 'enforce (the default), or observe: only count and log',
    },
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    const registration = readRegistration(args)
    const secret = registration.type === 'confidential' ? newClientSecret() : undefined
    const client: Client = secret ? { ...registration, secretHash: hashClientSecret(secret) } : registration
    await withStore(surroundings, async (store) => {
      if (!(await store.clients.create(client))) {
        throw new CommandError(`There is a client ${JSON.stringify(client.clientId)} already`)
      }
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

const list: Command = {
  name: 'client list',
  operands: '',
  summary: 'list the registered clients',
  options: JSON_OPTION,
  async run(args, surroundings) {
    noOperands(args)
    const clients: Client[] = []
    await withStore(surroundings, async (store) => {
      for await (const client of store.clients.list()) clients.push(client)
    })
    clients.sort((a, b) => a.clientId.localeCompare(b.clientId))
    if (args.values.json) {
      for (const client of clients) surroundings.print(JSON.stringify(shown(client)))
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
    await withStore(surroundings, async (store) => {
      const client = await requireClient(store, clientId)
      if (client.type === 'public')
        throw new CommandError(`The client ${clientId} is public and has no secret`)
      await store.clients.change(clientId, { secretHash: hashClientSecret(secret) })
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
  act: (store: Store, client: Client) => Promise<unknown>,
  done: string,
): Command {
  return {
    name: `client ${verb}`,
    operands: 'ID',
    summary,
    options: {},
    async run(args, surroundings) {
      const clientId = onlyOperand(args, 'ID')
      await withStore(surroundings, async (store) => act(store, await requireClient(store, clientId)))
      surroundings.print(done)
      return 0
    },
  }
}

export const CLIENT_COMMANDS: readonly Command[] = [
  add,
  list,
  oneClient(
    'disable',
    'refuse every request of a client; its sessions wait until it is enabled again',
    (store, client) => store.clients.change(client.clientId, { disabled: true }),
    'The client is disabled',
  ),
  oneClient(
    'enable',
    'let a disabled client work again',
    (store, client) => store.clients.change(client.clientId, { disabled: false }),
    'The client may make requests again',
  ),
  rotateSecret,
  oneClient(
    'delete',
    'delete a client, and end all its sessions',
    (store, client) => store.clients.delete(client.clientId),
    'The client is deleted; all its sessions have ended',
  ),
]
