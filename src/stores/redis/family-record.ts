import { words } from '../../oauth/scope.ts'
import type { Family, RevocationReason, Sender } from '../../tokens/family.ts'
import { locatorOf } from '../../tokens/refresh-token.ts'
import type { FamilyView, NewFamily } from '../contract.ts'
import { damaged, jsonOf, OF_USER, soundFamily, soundUser } from '../sound-records.ts'

/*
 * A family is one string of six lines, a seventh when it is revoked; docs/storage.md is their legend. What the scripts
 * count and compare on the way is in the first line, what never changes in the last three: so a rotation is one read
 * and one write. Numbers that never change are in base 36, because every session pays for their digits.
 */
type Begun = Omit<NewFamily, 'id' | 'idleMs'>

const COUNT = '(?:0|[1-9]\\d{0,14})'
const NUMBER_36 = '(?:0|[1-9a-z][\\da-z]{0,9})'
const WORDS = '(?:[!-~]+(?: [!-~]+)*)?'
const RECORD = new RegExp(
  [
    `^(${COUNT}) (${COUNT})(?: (${COUNT}) (${COUNT}) (${COUNT}))?`,
    '([ -~]*)',
    '([ -~]*)',
    `([!-~]+) (${NUMBER_36}) (${NUMBER_36}) (${NUMBER_36}) (${NUMBER_36})( b)?`,
    `(${WORDS})`,
    `(${WORDS})(?:\\n(reuse|operator|client|cap) (${COUNT}))?$`,
  ].join('\\n'),
)

/** A whole number, not negative, in base 36 as the record has it. */
export const base36 = (number: number) => number.toString(36)

/** The second and the third line: who was last heard of. */
export const senderLinesOf = ({ network, agent }: Sender) => `${network}\n${agent}`

/** The beginning of the fourth line. */
export const clientLineOf = (clientId: string, clientEpoch: number) => `${clientId} ${base36(clientEpoch)}`

/** The record of a family that begins now: the text before the time, which is Redis', and the text after it. */
export function beginningOf(begun: Begun): [before: string, after: string] {
  const { sender, clientId, clientEpoch, userEpoch } = begun
  const before = `0 0\n${senderLinesOf(sender)}\n${clientLineOf(clientId, clientEpoch)} ${base36(userEpoch)} `
  return [before, ` ${grantLinesOf(begun)}`]
}

/** What it lasts in ms, and what was granted. */
function grantLinesOf({
  maxMs,
  isBrief,
  scope,
  audience,
}: Pick<Begun, 'maxMs' | 'isBrief' | 'scope' | 'audience'>) {
  return `${base36(maxMs)}${isBrief ? ' b' : ''}\n${scope.join(' ')}\n${audience.join(' ')}`
}

/** The record of a family that has a life behind it. */
export function recordOfFamily(family: Family): string {
  const { generation, createdAt, rotatedAt, endsAt, replays, lockstep, lastSender, revoked } = family
  const counts = replays > 0 || lockstep.run > 0 ? ` ${replays} ${lockstep.generation} ${lockstep.run}` : ''
  return [
    // A record of before may have it earlier, where the clock was set back.
    `${generation} ${Math.max(0, rotatedAt - createdAt)}${counts}`,
    senderLinesOf(lastSender),
    `${clientLineOf(family.clientId, family.clientEpoch)} ${base36(family.userEpoch)} ${base36(createdAt)} ` +
      grantLinesOf({ ...family, maxMs: endsAt - createdAt }),
    ...(revoked ? [`${revoked.reason} ${revoked.at}`] : []),
  ].join('\n')
}

/** Whether the record is this client's. One that cannot be read may be anybody's. */
export function mayBeOf(record: string | null, clientId: string): boolean {
  if (record === null) return false
  const own = record.split('\n', 4)[3]?.split(' ', 1)[0]
  return own === undefined || own === clientId
}

/** The session that is in the user's own record: its member of the index, and when it ends at the latest. */
export const listedIn = (field: string | null): string[] => field?.split(' ', 1) ?? []

/** Whether the reply is that of a turn that was made. */
export const isApplied = (reply: string) => reply.startsWith('1\n')

/**
 * Reads what `familyAdvance` and `familyLook` return.
 *
 * @param id the family's id, which the record does not repeat.
 * @throws {UnavailableError} when a record is damaged: our own trouble, so that the client must hear that it may pass,
 *   and not that its session is over.
 */
export function viewOf(id: string, reply: string): FamilyView & { readonly applied: boolean } {
  const [applied = '', time, ttl, sub = '', epoch = '', claims = ''] = reply.split('\n', 6)
  const now = Number(time)
  const record = reply.slice([applied, time, ttl, sub, epoch, claims].join('\n').length + 1)
  // A key is written with its end, but put back with a plain SET it has none. One that has just ended reads -2.
  if (record !== '' && ttl === '-1')
    throw damaged(`session ${id}`, 'has no expiry, which a plain SET takes away')
  if (record === '' && ttl !== '-2') throw damaged(`session ${id}`, 'is empty')
  return {
    applied: isApplied(reply),
    now,
    family: record === '' ? undefined : familyOf(id, now + Number(ttl), record),
    user: sub || epoch || claims ? userOf(locatorOf(id), sub, epoch, claims) : undefined,
  }
}

function userOf(locator: string, sub: string, epoch: string, claims: string): FamilyView['user'] {
  const of = `the user at ${locator}`
  const user = { sub: jsonOf(of, sub), epoch: jsonOf(of, epoch), claims: jsonOf(of, claims) }
  return soundUser(locator, user, OF_USER)
}

function familyOf(id: string, expiresAt: number, record: string): Family {
  const [
    ,
    generation,
    rotated,
    replays = 0,
    repeated = 0,
    run = 0,
    network = '',
    agent = '',
    clientId = '',
    clientEpoch = '',
    userEpoch = '',
    begun = '',
    lasts = '',
    brief,
    scope = '',
    audience = '',
    reason,
    revokedAt,
  ] = RECORD.exec(record) ?? []
  if (generation === undefined) throw damaged(`session ${id}`, 'cannot be read')
  const createdAt = Number.parseInt(begun, 36)
  return soundFamily(id, {
    id,
    generation: Number(generation),
    rotatedAt: createdAt + Number(rotated),
    clientId,
    scope: words(scope),
    audience: words(audience),
    createdAt,
    endsAt: createdAt + Number.parseInt(lasts, 36),
    expiresAt,
    userEpoch: Number.parseInt(userEpoch, 36),
    clientEpoch: Number.parseInt(clientEpoch, 36),
    ...(brief !== undefined && { isBrief: true }),
    ...(reason !== undefined && { revoked: { reason: reason as RevocationReason, at: Number(revokedAt) } }),
    lastSender: { network, agent },
    replays: Number(replays),
    lockstep: { generation: Number(repeated), run: Number(run) },
  })
}
