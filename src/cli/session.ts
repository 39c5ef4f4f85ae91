import type { Client } from '../accounts/client.ts'
import { type User, userLocator, withoutSessions } from '../accounts/user.ts'
import type { Store } from '../stores/contract.ts'
import { DamagedRecordError, gather } from '../stores/sound-records.ts'
import type { Family } from '../tokens/family.ts'
import { isFamilyId } from '../tokens/refresh-token.ts'
import { requireClient } from './client.ts'
import { type Command, CommandError, JSON_OPTION, noOperands, onlyOperand, UsageError } from './command.ts'
import { table, time } from './table.ts'
import { requireUser } from './user.ts'
import { withStore } from './with-store.ts'

const MAX_LISTED = 1000

const list: Command = {
  name: 'session list',
  operands: '',
  summary: 'list the sessions (refresh-token families) of a user or of a client',
  details:
    'Those of a user come with the last used first. For those of a client every session of the store is looked at, until\n' +
    'as many are found as may be listed; they come in no particular order.',
  options: {
    user: { type: 'string', value: 'NAME', help: 'those of this user' },
    client: { type: 'string', value: 'ID', help: 'those of this client' },
    limit: { type: 'string', value: 'N', help: `list at most so many, by default ${MAX_LISTED}` },
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    noOperands(args)
    const { user, client, limit: given = String(MAX_LISTED) } = args.values
    if ((user === undefined) === (client === undefined))
      throw new UsageError('give --user NAME or --client ID')
    if (!/^[1-9]\d{0,6}$/.test(String(given))) throw new UsageError('--limit takes a number from 1 on')
    const limit = Number(given)
    const { sessions, fault } = await withStore(surroundings, (store) =>
      typeof user === 'string' ? ofUser(store, user, limit) : ofClient(store, String(client), limit),
    )
    if (args.values.json) {
      for (const session of sessions) surroundings.print(JSON.stringify(session))
      if (fault) throw fault
      return 0
    }
    const rows = sessions.map((session) => [
      session.id,
      session.client_id,
      session.state,
      session.created,
      session.last_used,
      String(session.generation),
      session.network || '-',
      session.agent || '-',
    ])
    const header = ['ID', 'CLIENT', 'STATE', 'CREATED', 'LAST USED', 'GEN', 'NETWORK', 'AGENT']
    for (const line of table(header, rows)) surroundings.print(line)
    if (fault) throw fault
    return 0
  },
}

async function ofUser(store: Store, username: string, limit: number) {
  const user = await requireUser(store, username)
  let fault: DamagedRecordError | undefined
  const onDamage = (damage: DamagedRecordError) => {
    fault ??= damage
    return 'damaged' as const
  }
  const families = await store.families.listOfUser(userLocator(user.sub), limit, onDamage)
  const clients = new Map<string, Client | 'damaged' | undefined>()
  for (const { clientId } of families) {
    if (clients.has(clientId)) continue
    const client = store.clients.find(clientId).catch((error: unknown) => {
      if (!(error instanceof DamagedRecordError)) throw error
      return onDamage(error)
    })
    clients.set(clientId, await client)
  }
  return { sessions: families.map((family) => shown(family, user, clients.get(family.clientId))), fault }
}

async function ofClient(store: Store, clientId: string, limit: number) {
  const client = await requireClient(store, clientId)
  const { found, fault } = await gather(store.families.listOfClient(clientId), limit)
  const sessions = found.map(({ family, user }) => ({
    ...(user && { sub: user.sub }),
    ...shown(family, user, client),
  }))
  return { sessions, fault }
}

function shown(
  family: Family,
  user: Pick<User, 'epoch'> | undefined,
  client: Client | 'damaged' | undefined,
) {
  const ended =
    family.revoked?.reason ??
    (family.userEpoch !== user?.epoch ? 'user' : undefined) ??
    (client !== 'damaged' && family.clientEpoch !== client?.epoch ? 'client' : undefined)
  const living = client === 'damaged' ? 'unknown (its client is damaged)' : 'active'
  return {
    id: family.id,
    client_id: family.clientId,
    state: ended === undefined ? living : `revoked (${ended})`,
    created: time(family.createdAt),
    last_used: time(family.rotatedAt),
    expires: time(family.expiresAt),
    generation: family.generation,
    replays: family.replays,
    scope: family.scope.join(' '),
    network: family.lastSender.network,
    agent: family.lastSender.agent,
  }
}

const revoke: Command = {
  name: 'session revoke',
  operands: '[ID]',
  summary: 'end one session, or every session of a user, of a client or of everybody',
  details:
    'Refresh tokens of an ended session are refused at once. Access tokens that are out live until they expire.',
  options: {
    user: { type: 'string', value: 'NAME', help: 'every session of this user' },
    client: { type: 'string', value: 'ID', help: 'every session of this client' },
    all: { type: 'boolean', help: 'every session of every client' },
  },
  async run(args, surroundings) {
    const { user, client, all } = args.values
    if ([args.positionals[0], user, client, all].filter((what) => what !== undefined).length !== 1) {
      throw new UsageError('give one of ID, --user NAME, --client ID and --all')
    }
    const id = user === undefined && client === undefined && !all ? onlyOperand(args, 'ID') : undefined
    if (id !== undefined && !isFamilyId(id))
      throw new UsageError('the ID is no session id: 32 characters, as in session list')
    const { said, fault } = await withStore(surroundings, async (store, audit) => {
      const revoked = (
        whose: { sid: string } | { sub: string } | { client_id: string } | Record<never, never>,
      ) => audit({ event: 'session.revoked', actor: 'operator', reason: 'operator', ...whose })
      if (typeof user === 'string') {
        const found = await requireUser(store, user)
        await store.users.change(found.sub, withoutSessions(found))
        revoked({ sub: found.sub })
        return { said: 'Every session of the user has ended' }
      }
      if (typeof client === 'string') {
        const found = await requireClient(store, client)
        await store.clients.change(client, withoutSessions(found))
        revoked({ client_id: client })
        return { said: 'Every session of the client has ended' }
      }
      if (all) {
        const { ended, fault } = await endAll(store)
        revoked({})
        const whose = fault ? `of ${ended} clients has ended` : `has ended, of ${ended} clients`
        return { said: `Every session ${whose}`, fault }
      }
      const outcome = await store.families.revoke(id!, 'operator')
      if (outcome === 'gone') throw new CommandError('There is no such session; it may have expired')
      if (outcome === 'already_revoked') return { said: 'The session had been revoked before' }
      revoked({ sid: id! })
      return { said: 'The session has ended' }
    })
    surroundings.print(said)
    if (fault) throw fault
    return 0
  },
}

/** Clients changed at once: on Redis each change waits until every server goes by it. */
const CHANGED_AT_ONCE = 500

/**
 * Moves every client on to another epoch. @returns how many there are, and a damaged one, whose sessions are refused as
 * long as it is damaged.
 */
async function endAll(store: Store) {
  const { found: clients, fault } = await gather(store.clients.list())
  for (let at = 0; at < clients.length; at += CHANGED_AT_ONCE) {
    const some = clients.slice(at, at + CHANGED_AT_ONCE)
    await Promise.all(some.map((client) => store.clients.change(client.clientId, withoutSessions(client))))
  }
  return { ended: clients.length, fault }
}

export const SESSION_COMMANDS: readonly Command[] = [list, revoke]
