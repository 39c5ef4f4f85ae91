import { IN_COMMAND, type PasswordHashing, startPasswordHashing } from '../accounts/password-hashing.ts'
import { newEpoch, newSub, type User, usernameFault, withoutAccess, withPassword } from '../accounts/user.ts'
import type { Store } from '../stores/contract.ts'
import {
  type Arguments,
  type Command,
  CommandError,
  JSON_OPTION,
  noOperands,
  onlyOperand,
  type Surroundings,
  UsageError,
} from './command.ts'
import { readClaims } from './registration.ts'
import { table, time } from './table.ts'
import { USER_IMPORT } from './user-import.ts'
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

const MAX_PASSWORD_CHARACTERS = 1024

/** Finds a user by name. @throws {CommandError} when there is none. */
export async function requireUser(store: Store, username: string): Promise<User> {
  const user = await store.users.findByUsername(username)
  if (!user) throw new CommandError(`There is no user ${JSON.stringify(username)}. See: pawl user list`)
  return user
}

/** Creates a user of the built-in directory. @throws {CommandError} when the name cannot be had. */
export async function addUser(
  store: Store,
  hashing: PasswordHashing,
  username: string,
  password: string,
  claims: User['claims'] = {},
): Promise<User> {
  const fault = usernameFault(username)
  if (fault) throw new CommandError(`The name ${fault}`)
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

async function readPassword({ values }: Arguments, { readStdin, askSecret }: Surroundings): Promise<string> {
  const password = values['password-stdin']
    ? (await readStdin()).replace(/\r?\n$/, '')
    : await askSecret('Password: ')
  if (password === undefined)
    throw new UsageError('there is no terminal to ask for a password: use --password-stdin')
  if (password === '') throw new CommandError('The password is empty')
  if (password.length > MAX_PASSWORD_CHARACTERS) {
    throw new CommandError(`The password is longer than ${MAX_PASSWORD_CHARACTERS} characters`)
  }
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

const shown = ({ passwordHash: _, epoch: __, ...user }: User) => user

const add: Command = {
  name: 'user add',
  operands: 'NAME',
  summary: 'create a user of the built-in directory',
  options: { ...PASSWORD_OPTION, ...CLAIMS_OPTION, ...JSON_OPTION },
  async run(args, surroundings) {
    const username = onlyOperand(args, 'NAME')
    const claims = readClaims(String(args.values.claims ?? '{}'))
    const password = await readPassword(args, surroundings)
    const user = await withStore(surroundings, (store) =>
      withHashing((hashing) => addUser(store, hashing, username, password, claims)),
    )
    surroundings.print(
      args.values.json ? JSON.stringify(shown(user)) : `Created the user ${user.username}, sub ${user.sub}`,
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
    const password = await readPassword(args, surroundings)
    await withStore(surroundings, async (store) => {
      const user = await requireUser(store, username)
      const passwordHash = await withHashing((hashing) => hashing.hash(password))
      await store.users.change(user.sub, withPassword(user, passwordHash))
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
    await withStore(surroundings, async (store) => {
      const user = await requireUser(store, username)
      await store.users.change(user.sub, { claims })
    })
    surroundings.print('The claims are set')
    return 0
  },
}

/** A command that does one thing to one user. */
function oneUser(
  verb: string,
  summary: string,
  act: (store: Store, user: User) => Promise<unknown>,
  done: string,
): Command {
  return {
    name: `user ${verb}`,
    operands: 'NAME',
    summary,
    options: {},
    async run(args, surroundings) {
      const username = onlyOperand(args, 'NAME')
      await withStore(surroundings, async (store) => act(store, await requireUser(store, username)))
      surroundings.print(done)
      return 0
    },
  }
}

const list: Command = {
  name: 'user list',
  operands: '',
  summary: 'list the users of the built-in directory',
  options: JSON_OPTION,
  async run(args, surroundings) {
    noOperands(args)
    const users: User[] = []
    await withStore(surroundings, async (store) => {
      for await (const user of store.users.list()) users.push(user)
    })
    users.sort((a, b) => a.username.localeCompare(b.username))
    if (args.values.json) {
      for (const user of users) surroundings.print(JSON.stringify(shown(user)))
      return 0
    }
    const rows = users.map((user) => [
      user.username,
      user.sub,
      user.disabled ? 'disabled' : 'enabled',
      time(user.createdAt),
    ])
    for (const line of table(['NAME', 'SUB', 'STATE', 'CREATED'], rows)) surroundings.print(line)
    return 0
  },
}

export const USER_COMMANDS: readonly Command[] = [
  add,
  USER_IMPORT,
  list,
  oneUser(
    'disable',
    'keep a user from signing in, and end every session of the user',
    (store, user) => store.users.change(user.sub, withoutAccess(user)),
    'The user is disabled; every session has ended',
  ),
  oneUser(
    'enable',
    'let a disabled user sign in again',
    (store, user) => store.users.change(user.sub, { disabled: false }),
    'The user may sign in again',
  ),
  setPassword,
  setClaims,
  oneUser(
    'delete',
    'delete a user, and end every session of the user',
    (store, user) => store.users.delete(user),
    'The user is deleted; every session has ended',
  ),
]
