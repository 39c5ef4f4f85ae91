import t from 'tap'
import { userLocator } from '../../src/accounts/user.ts'
import { UnavailableError } from '../../src/oauth/errors.ts'
import {
  allSound,
  damaged,
  readSound,
  soundClient,
  soundFamily,
  soundUser,
} from '../../src/stores/sound-records.ts'
import { atFirst, someClient, someFamily, someUser } from './records.ts'

const user = someUser()
const locator = userLocator(user.sub)
const client = someClient()
const family = atFirst(someFamily(user), Date.now())

/** What is wrong with a record, as the log has it. */
function faultOf(read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    return `${error.message}: ${(error.cause as Error).message}`
  }
}

t.test('a record that we wrote is what it was', async (t) => {
  t.equal(soundUser(locator, user), user)
  t.equal(soundClient(client.clientId, client), client)
  t.equal(soundFamily(family.id, family), family)
  const revoked = { ...family, revoked: { reason: 'reuse', at: 1 }, isBrief: true, audience: [] }
  t.equal(soundFamily(family.id, revoked), revoked)
})

t.test('a record that we did not write is nobody’s', async (t) => {
  const stranger = someUser()
  const cases: [name: string, read: () => unknown, fault: RegExp][] = [
    ['a user elsewhere', () => soundUser(locator, stranger), /is that of another user/],
    ['an enabled user by default', () => soundUser(locator, { ...user, disabled: undefined }), /disabled/],
    ['reserved claims', () => soundUser(locator, { ...user, claims: { act: 'admin' } }), /claims/],
    ['another client', () => soundClient('web', client), /another client/],
    [
      'a client whose secret is not needed any more',
      () => soundClient(client.clientId, { ...client, secretHash: 'A'.repeat(43) }),
      /secret/,
    ],
    [
      'tokens without an end',
      () => soundClient(client.clientId, { ...client, accessTokenTtl: Number.NaN }),
      /accessTokenTtl/,
    ],
    ['another session', () => soundFamily('x', family), /another session/],
    ['a generation', () => soundFamily(family.id, { ...family, generation: -1 }), /generation/],
    ['a scope', () => soundFamily(family.id, { ...family, scope: 'read' }), /scope/],
    [
      'a session without an end',
      () => soundFamily(family.id, { ...family, endsAt: Number.MAX_SAFE_INTEGER }),
      /absolute end/,
    ],
    [
      'half a millisecond',
      () => soundFamily(family.id, { ...family, rotatedAt: family.rotatedAt + 0.5 }),
      /rotatedAt/,
    ],
    ['no record at all', () => soundFamily(family.id, null), /cannot be read/],
  ]
  for (const [name, read, fault] of cases) t.match(faultOf(read), fault, name)
  t.match(faultOf(cases[0]![1]), /^A record in the store is damaged: .*restore it from a backup/)
  const unreadable = () => {
    throw new RangeError('end of buffer')
  }
  t.match(
    faultOf(() => readSound('client web', unreadable, (record) => record)),
    /the record of client web cannot be read/,
  )
})

t.test('a damaged record keeps no other from being listed', async (t) => {
  const seen: number[] = []
  const read = (value: number) => async () => {
    if (value === 2) throw damaged('client two', 'cannot be read')
    return value
  }
  const listing = async () => {
    for await (const value of allSound([[read(1), read(2)], [read(3)]])) seen.push(value)
  }
  await t.rejects(listing(), { message: 'A record in the store is damaged' })
  t.strictSame(seen, [1, 3])
})
