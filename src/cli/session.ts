import type { Client } from '../accounts/client.ts'
import { type User, userLocator, withoutSessions } from '../accounts/user.ts'
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
  summary: `list the sessions (refresh-token families) of a user, the last used first, at most ${MAX_LISTED}`,
  options: { user: { type: 'string', value: 'NAME', help: 'whose' }, ...JSON_OPTION },
  async run(args, surroundings) {
    noOperands(args)
    const { user: username } = args.values
    if (typeof username !== 'string') throw new UsageError('--user NAME is missing')
    const sessions = await withStore(surroundings, async (store) => {
      const user = await requireUser(store, username)
      const families = await store.families.listOfUser(userLocator(user.sub), MAX_LISTED)
      const clients = new Map<string, Client | undefined>()
      for (const { clientId } of families) clients.set(clientId, await store.clients.find(clientId))
      return families.map((family) => shown(family, user, clients.get(family.clientId)))
    })
    if (args.values.json) {
      for (const session of sessions) surroundings.print(JSON.stringify(session))
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
    return 0
  },
}

function shown(family: Family, user: User, client: Client | undefined) {
  const ended =
    family.revoked?.reason ??
    (family.userEpoch !== user.epoch ? 'user' : undefined) ??
    (family.clientEpoch !== client?.epoch ? 'client' : undefined)
  return {
    id: family.id,
    client_id: family.clientId,
    state: ended === undefined ? 'active' : `revoked (${ended})`,
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
  summary: 'end one session, or every session of a user or of a client',
  details:
    'Refresh tokens of an ended session are refused at once. Access tokens that are out live until they expire.',
  options: {
    user: { type: 'string', value: 'NAME', help: 'every session of this user' },
    client: { type: 'string', value: 'ID', help: 'every session of this client' },
  },
  async run(args, surroundings) {
    const { user, client } = args.values
    if ([args.positionals[0], user, client].filter((what) => what !== undefined).length !== 1) {
      throw new UsageError('give one of ID, --user NAME and --client ID')
    }
    const id = user === undefined && client === undefined ? onlyOperand(args, 'ID') : undefined
    if (id !== undefined && !isFamilyId(id))
      throw new UsageError('the ID is no session id: 32 characters, as in session list')
    const said = await withStore(surroundings, async (store, audit) => {
      const revoked = (whose: { sid: string } | { sub: string } | { client_id: string }) =>
        audit({ event: 'session.revoked', actor: 'operator', reason: 'operator', ...whose })
      if (typeof user === 'string') {
        const found = await requireUser(store, user)
        await store.users.change(found.sub, withoutSessions(found))
        revoked({ sub: found.sub })
        return 'Every session of the user has ended'
      }
      if (typeof client === 'string') {
        const found = await requireClient(store, client)
        await store.clients.change(client, withoutSessions(found))
        revoked({ client_id: client })
        return 'Every session of the client has ended'
      }
      const outcome = await store.families.revoke(id!, 'operator')
      if (outcome === 'gone') throw new CommandError('There is no such session; it may have expired')
      if (outcome === 'already_revoked') return 'The session had been revoked before'
      revoked({ sid: id! })
      return 'The session has ended'
    })
    surroundings.print(said)
    return 0
  },
}

export const SESSION_COMMANDS: readonly Command[] = [list, revoke]
