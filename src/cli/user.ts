import { IN_COMMAND, type PasswordHashing, startPasswordHashing } from '../accounts/password-hashing.ts'
import { loadPasswordRules } from '../accounts/password-rules.ts'
import { newEpoch, newSub, type User, usernameFault, withoutAccess, withPassword } from '../accounts/user.ts'
import type { AuditEventName } from '../audit/event.ts'
import { readConfig } from '../config/config.ts'
import { accountSubject } from '../grants/sign-in-budgets.ts'
import type { Store, UserChange } from '../stores/contract.ts'
import { DamagedRecordError } from '../stores/sound-records.ts'
import {
  type Arguments,
  type Command,
  CommandError,
  JSON_OPTION,
  onlyOperand,
  type Surroundings,
  UsageError,
} from './command.ts'
import { readClaims } from './registration.ts'
import { USER_IMPORT } from './user-import.ts'
import { shownUser, USER_LIST } from './user-list.ts'
import { withStore } from './with-store.ts'

const PASSWORD_OPTION = {
  'password-stdin': { type: 'boolean', help: 'read the password from standard input (else you are asked)' },
} as const

const CLAIMS_OPTION = {
  claims: {
    type: 'string',
    value: 'JSON',
    help: 'an object of claims that the user’s access tokens carry besides',
  },
} as const

const noUser = (username: string) =>
  new CommandError(`There is no user ${JSON.stringify(username)}. See: pawl user list`)

/** Finds a user by name. @throws {CommandError} when there is none. */
export async function requireUser(store: Store, username: string): Promise<User> {
  const user = await store.users.findByUsername(username)
  if (!user) throw noUser(username)
  return user
}

/**
 * Changes a user who was found.
 *
 * @throws {CommandError} when somebody has deleted the user since.
 */
export async function changeUser(store: Store, user: User, change: UserChange): Promise<void> {
  if (!(await store.users.change(user.sub, change))) throw noUser(user.username)
}

/** Deletes a user who was found. @throws {CommandError} when somebody else has, since. */
export async function deleteUser(store: Store, user: User): Promise<void> {
  if (!(await store.users.delete(user))) throw noUser(user.username)
}

function requireUsername(username: string): void {
  const fault = usernameFault(username)
  if (fault) throw new CommandError(`The name ${fault}`)
}

/** Creates a user of the built-in directory. @throws {CommandError} when the name cannot be had. */
export async function addUser(
  store: Store,
  hashing: PasswordHashing,
  username: string,
  password: string,
  claims: User['claims'] = {},
): Promise<User> {
  requireUsername(username)
  const user: User = {
    sub: newSub(),
    username: username.normalize('NFC'),
    passwordHash: await hashing.hash(password),
    disabled: false,
    claims,
    epoch: newEpoch(),
    createdAt: Date.now(),
  }
  if ((await store.users.create(user)) !== 'created') {
    throw new CommandError(
      `There is a user ${JSON.stringify(username)} already; names differ by more than case`,
    )
  }
  return user
}

/** Reads a new password for this user. @throws {CommandError} when the rules are against it. */
async function readPassword(
  { values }: Arguments,
  { environment, readStdin, askSecret }: Surroundings,
  username: string,
): Promise<string> {
  const rules = await loadPasswordRules(readConfig(environment))
  const password = values['password-stdin']
    ? (await readStdin()).replace(/\r?\n$/, '')
    : await askSecret('Password: ')
  if (password === undefined)
    throw new UsageError('there is no terminal to ask for a password: use --password-stdin')
  if (password === '') throw new CommandError('The password is empty')
  const fault = rules.fault(password, username)
  if (fault) throw new CommandError(`The password ${fault}`)
  return password
}

async function withHashing<T>(work: (hashing: PasswordHashing) => Promise<T>): Promise<T> {
  const hashing = startPasswordHashing(IN_COMMAND)
  try {
    return await work(hashing)
  } finally {
    await hashing.close()
  }
}

const add: Command = {
  name: 'user add',
  operands: 'NAME',
  summary: 'create a user of the built-in directory',
  options: { ...PASSWORD_OPTION, ...CLAIMS_OPTION, ...JSON_OPTION },
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    const claims = readClaims(String(args.values.claims ?? '{}'))
    requireUsername(username)
    const password = await readPassword(args, surroundings, username)
    const user = await withStore(surroundings, async (store, audit) => {
      const added = await withHashing((hashing) => addUser(store, hashing, username, password, claims))
      audit({ event: 'user.created', sub: added.sub })
      return added
    })
    surroundings.print(
      args.values.json
        ? JSON.stringify(shownUser(user))
        : `Created the user ${user.username}, sub ${user.sub}`,
    )
    return 0
  },
}

const setPassword: Command = {
  name: 'user set-password',
  operands: 'NAME',
  summary: 'give a user another password, which ends every session of the user',
  options: PASSWORD_OPTION,
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    const password = await readPassword(args, surroundings, username)
    await withStore(surroundings, async (store, audit) => {
      const user = await requireUser(store, username)
      const passwordHash = await withHashing((hashing) => hashing.hash(password))
      await changeUser(store, user, withPassword(user, passwordHash))
      audit({ event: 'user.password_changed', sub: user.sub })
    })
    surroundings.print('The password is set; every session of the user has ended')
    return 0
  },
}

const setClaims: Command = {
  name: 'user set-claims',
  operands: 'NAME',
  summary: 'replace the claims that a user’s access tokens carry besides; from the next refresh on',
  options: CLAIMS_OPTION,
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    if (args.values.claims === undefined) throw new UsageError('--claims JSON is missing')
    const claims = readClaims(String(args.values.claims))
    await withStore(surroundings, async (store, audit) => {
      const user = await requireUser(store, username)
      await changeUser(store, user, { claims })
      audit({ event: 'user.changed', sub: user.sub, changed: ['claims'] })
    })
    surroundings.print('The claims are set')
    return 0
  },
}

const USER_SHOW: Command = {
  name: 'user show',
  operands: 'NAME',
  summary: 'show one user as JSON, and what kind of password hash the user has',
  options: JSON_OPTION,
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    const user = await withStore(surroundings, (store) => requireUser(store, username))
    const said = {
      ...shownUser(user),
      passwordHash: user.passwordHash === undefined ? 'none' : kindOf(user.passwordHash),
    }
    surroundings.print(JSON.stringify(said, null, args.values.json ? undefined : 2))
    return 0
  },
}

/** What begins the stored text: `argon2id`, `2b` for bcrypt, … */
const kindOf = (passwordHash: string) => passwordHash.split('$')[1] ?? ''

/**
 * A command that does one thing to one user.
 *
 * @param actUnread what it does where the record is damaged. Without it the command fails and says so.
 */
function oneUser(
  verb: string,
  summary: string,
  event: AuditEventName,
  act: (store: Store, user: User) => Promise<void>,
  done: string,
  actUnread?: (store: Store, username: string) => Promise<boolean>,
): Command {
  return {
    name: `user ${verb}`,
    operands: 'NAME',
    summary,
    options: {},
    async run(args, surroundings) {
      const username = onlyOperand(args, 'NAME')
      await withStore(surroundings, async (store, audit) => {
        try {
          const user = await requireUser(store, username)
          await act(store, user)
          audit({ event, sub: user.sub })
        } catch (error) {
          if (!(error instanceof DamagedRecordError && (await actUnread?.(store, username)))) throw error
          audit({ event })
        }
      })
      surroundings.print(done)
      return 0
    },
  }
}

const unlock: Command = {
  name: 'user unlock',
  operands: 'NAME',
  summary: 'forget the failed sign-ins of an account, so that it can be tried again at once',
  details:
    'Failed sign-ins stop counting by themselves after SIGN_IN_FAILURE_WINDOW. Budgets that other accounts share, those\n' +
    'of a network and of everything together, stay as they are; see docs/guessing-defence.md.',
  options: {},
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    const wasCounted = await withStore(surroundings, async (store, audit) => {
      const forgotten = await store.attempts.forget(accountSubject(username))
      if (forgotten) {
        // Who it is stands in the trail, where there is somebody of that name.
        const user = await store.users.findByUsername(username).catch(() => undefined)
        audit({ event: 'user.unlocked', ...(user && { sub: user.sub }) })
      }
      return forgotten
    })
    surroundings.print(
      wasCounted
        ? 'The failed sign-ins of the account are forgotten'
        : 'No failed sign-in of the account is counted; it may be a budget of its network that is spent',
    )
    return 0
  },
}

export const USER_COMMANDS: readonly Command[] = [
  add,
  USER_IMPORT,
  USER_LIST,
  USER_SHOW,
  oneUser(
    'disable',
    'keep a user from signing in, and end every session of the user',
    'user.disabled',
    (store, user) => changeUser(store, user, withoutAccess(user)),
    'The user is disabled; every session has ended',
  ),
  oneUser(
    'enable',
    'let a disabled user sign in again',
    'user.enabled',
    (store, user) => changeUser(store, user, { disabled: false }),
    'The user may sign in again',
  ),
  setPassword,
  setClaims,
  unlock,
  oneUser(
    'delete',
    'delete a user, and end every session of the user',
    'user.deleted',
    deleteUser,
    'The user is deleted; every session has ended',
    (store, username) => store.users.deleteUnread(username),
  ),
]
