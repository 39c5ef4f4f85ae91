import type { Family, RevocationReason } from '../../tokens/family.ts'
import { locatorOf } from '../../tokens/refresh-token.ts'
import type { FamilyView, NewFamily } from '../contract.ts'
import { damaged, jsonOf, OF_USER, soundFamily, soundUser } from '../sound-records.ts'

/** Redis keeps a hash in its compact form only while every value is at most this long. */
const COMPACT_BYTES = 64

/*
 * One-letter fields, because every session pays for their names: docs/storage.md is their legend. The scripts write
 * g r t e (create), g r n d (advance), y l m (replay) and x z (revoke); the others never change.
 */
export function fieldsOf({ sender, ...family }: Omit<NewFamily, 'id' | 'idleMs' | 'maxMs'>): string[] {
  return [
    ...['c', family.clientId, 'u', String(family.userEpoch), 'k', String(family.clientEpoch)],
    ...['n', sender.network, 'd', sender.agent],
    ...(family.isBrief ? ['b', '1'] : []),
    ...inPieces('s', family.scope.join(' ')),
    ...inPieces('a', family.audience.join(' ')),
  ]
}

/** All fields of a family that has a life behind it, but its generation. */
export function fieldsOfHeld(family: Family): string[] {
  const { createdAt, rotatedAt, endsAt, replays, lockstep, revoked, lastSender } = family
  return [
    ...['t', String(createdAt), 'r', String(rotatedAt - createdAt), 'e', String(endsAt)],
    ...fieldsOf({ ...family, sender: lastSender }),
    ...(replays > 0 ? ['y', String(replays)] : []),
    ...(lockstep.run > 0 ? ['l', String(lockstep.generation), 'm', String(lockstep.run)] : []),
    ...(revoked ? ['x', revoked.reason, 'z', String(revoked.at)] : []),
  ]
}

/**
 * Reads what `familyAdvance` and `familyLook` return.
 *
 * @param id the family's id, which the record does not repeat.
 * @throws {UnavailableError} when the record is damaged.
 */
export function viewOf(id: string, reply: string): FamilyView & { readonly applied: boolean } {
  const [applied, now, ttl, sub, epoch, claims, ...fields] = reply.split('\n')
  return {
    applied: applied === '1',
    now: Number(now),
    // No field is one empty line.
    family: fields.length < 2 ? undefined : soundFamily(id, familyOf(id, Number(now) + Number(ttl), fields)),
    user: sub || epoch || claims ? userOf(locatorOf(id), { sub, epoch, claims }) : undefined,
  }
}

function userOf(locator: string, fields: Readonly<Record<'sub' | 'epoch' | 'claims', string | undefined>>) {
  const members = Object.entries(fields).map(([name, json]) => [
    name,
    jsonOf(`the user at ${locator}`, json ?? ''),
  ])
  return soundUser(locator, Object.fromEntries(members), OF_USER)
}

function familyOf(id: string, expiresAt: number, flat: readonly string[]): Family {
  const fields = new Map<string, string>()
  for (let i = 0; i < flat.length; i += 2) fields.set(flat[i]!, flat[i + 1]!)
  const number = (name: string) => {
    const value = Number(fields.get(name) ?? 0)
    // Each is in every record, or stands for 0 where it is not; none is an empty text.
    if (fields.get(name) === '' || !Number.isSafeInteger(value) || value < 0)
      throw damaged(`session ${id}`, `has a field ${name} that cannot be`)
    return value
  }
  const reason = fields.get('x') as RevocationReason | undefined
  return {
    id,
    generation: number('g'),
    rotatedAt: number('t') + number('r'),
    clientId: fields.get('c') ?? '',
    scope: words(fromPieces('s', fields)),
    audience: words(fromPieces('a', fields)),
    createdAt: number('t'),
    endsAt: number('e'),
    expiresAt,
    userEpoch: number('u'),
    clientEpoch: number('k'),
    ...(fields.has('b') && { isBrief: true }),
    ...(reason && { revoked: { reason, at: number('z') } }),
    lastSender: { network: fields.get('n') ?? '', agent: fields.get('d') ?? '' },
    replays: number('y'),
    lockstep: { generation: number('l'), run: number('m') },
  }
}

const words = (text: string) => (text === '' ? [] : text.split(' '))

/** A long text as s, s1, s2 …: all are ASCII, so that a character is a byte. */
function inPieces(name: string, text: string): string[] {
  const fields: string[] = []
  for (let at = 0, piece = 0; at < text.length; at += COMPACT_BYTES, piece += 1) {
    fields.push(piece === 0 ? name : `${name}${piece}`, text.slice(at, at + COMPACT_BYTES))
  }
  return fields
}

function fromPieces(name: string, fields: ReadonlyMap<string, string>): string {
  let text = fields.get(name) ?? ''
  for (let piece = 1; fields.has(`${name}${piece}`); piece += 1) text += fields.get(`${name}${piece}`)
  return text
}
