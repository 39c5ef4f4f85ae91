import type { User } from '../accounts/user.ts'
import { type DamagedRecordError, passingOver } from '../stores/sound-records.ts'
import { type Arguments, type Command, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { table, time } from './table.ts'
import { withStore } from './with-store.ts'

/** Users held at once. A larger directory is listed as it is read, in no particular order. */
const MAX_SORTED = 10_000

/** What may be shown of a user. */
export const shownUser = ({ passwordHash: _, epoch: __, ...user }: User) => user

export const USER_LIST: Command = {
  name: 'user list',
  operands: '',
  summary: 'list the users of the built-in directory',
  details:
    `Sorted by name up to ${MAX_SORTED} users; more are listed in no particular order, unless a page is asked for. The next\n` +
    'page: --after the last name of this one.',
  options: {
    limit: { type: 'string', value: 'N', help: `a page of at most N users by name, up to ${MAX_SORTED}` },
    after: { type: 'string', value: 'NAME', help: 'begin behind this name, whether there is one or not' },
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    noOperands(args)
    const { after } = args.values
    const limit = limitOf(args)
    const print = args.values.json ? printJson : printTable
    let fault: DamagedRecordError | undefined
    const onDamage = (damage: DamagedRecordError) => {
      fault = damage
    }
    await withStore(surroundings, async (store) => {
      const users = passingOver(store.users.list(), onDamage)
      if (limit === undefined && after === undefined) {
        for await (const { some, hasHeader } of sortedIfFew(users)) print(some, hasHeader, surroundings.print)
      } else {
        print(await page(users, limit ?? MAX_SORTED, String(after ?? '')), true, surroundings.print)
      }
    })
    if (fault) throw fault
    return 0
  },
}

function limitOf({ values }: Arguments): number | undefined {
  const { limit } = values
  if (limit === undefined) return undefined
  const value = /^[1-9]\d{0,5}$/.test(String(limit)) ? Number(limit) : Number.NaN
  if (!(value <= MAX_SORTED)) throw new UsageError(`--limit takes 1 to ${MAX_SORTED}`)
  return value
}

const collator = new Intl.Collator('und')
/** A total order: where the collation sees no difference, the code units do. */
const byName = (a: string, b: string) => collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0)
const byUsername = (a: User, b: User) => byName(a.username, b.username)

/** The users in pieces: one, sorted, or as many as it takes. */
async function* sortedIfFew(
  users: AsyncIterable<User>,
): AsyncGenerator<{ some: User[]; hasHeader: boolean }> {
  let some: User[] = []
  let hasHeader = true
  for await (const user of users) {
    some.push(user)
    if (some.length < MAX_SORTED) continue
    yield { some, hasHeader }
    hasHeader = false
    some = []
  }
  if (some.length > 0 || hasHeader) yield { some: some.sort(byUsername), hasHeader }
}

/** The first `limit` users behind a name. Every user is looked at, and twice as many as are asked for are kept. */
async function page(users: AsyncIterable<User>, limit: number, after: string): Promise<User[]> {
  let kept: User[] = []
  const cut = () => {
    kept = kept.sort(byUsername).slice(0, limit)
  }
  for await (const user of users) {
    if (after !== '' && byName(user.username, after) <= 0) continue
    kept.push(user)
    if (kept.length >= 2 * limit) cut()
  }
  cut()
  return kept
}

function printJson(users: readonly User[], _: boolean, print: (line: string) => void): void {
  for (const user of users) print(JSON.stringify(shownUser(user)))
}

function printTable(users: readonly User[], hasHeader: boolean, print: (line: string) => void): void {
  const rows = users.map((user) => [
    user.username,
    user.sub,
    user.disabled ? 'disabled' : 'enabled',
    time(user.createdAt),
  ])
  const lines = table(['NAME', 'SUB', 'STATE', 'CREATED'], rows)
  for (const line of hasHeader ? lines : lines.slice(1)) print(line)
}
