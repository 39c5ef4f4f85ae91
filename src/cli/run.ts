import { parseArgs } from 'node:util'
import { AuditLogError } from '../audit/log-sink.ts'
import { ConfigError } from '../config/config.ts'
import { KeyFileError } from '../keys/files.ts'
import { UnavailableError } from '../oauth/errors.ts'
import { StoreFileError } from '../stores/lmdb/store-file.ts'
import { VERSION } from '../version.ts'
import { AUDIT_COMMANDS } from './audit.ts'
import { CLIENT_COMMANDS } from './client.ts'
import { type Command, CommandError, type Surroundings, UsageError } from './command.ts'
import { DEV } from './dev.ts'
import { DOCTOR } from './doctor.ts'
import { HEALTHCHECK } from './healthcheck.ts'
import { KEYS_COMMANDS } from './keys.ts'
import { SERVE_COMMANDS } from './serve.ts'
import { SESSION_COMMANDS } from './session.ts'
import { STORE_COMMANDS } from './store.ts'
import { TOKEN_COMMANDS } from './token.ts'
import { USER_COMMANDS } from './user.ts'

const COMMANDS: readonly Command[] = [
  DEV,
  ...SERVE_COMMANDS,
  ...USER_COMMANDS,
  ...CLIENT_COMMANDS,
  ...KEYS_COMMANDS,
  ...SESSION_COMMANDS,
  ...STORE_COMMANDS,
  ...AUDIT_COMMANDS,
  ...TOKEN_COMMANDS,
  DOCTOR,
  HEALTHCHECK,
]

/** Exit codes, from sysexits.h where it has one. */
const FAILED = 1
const USAGE = 64
const CONFIG = 78

const HELP = { help: { type: 'boolean', short: 'h', help: 'show this' } } as const

/** Runs one command line. @returns the exit code. */
export async function runCommandLine(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const { print, tell } = surroundings
  const command = COMMANDS.find(({ name }) => words.slice(0, name.split(' ').length).join(' ') === name)
  if (!command) return explain(words, surroundings)
  const rest = words.slice(command.name.split(' ').length)
  try {
    const { values, positionals } = parse(command, rest)
    if (values.help) {
      for (const line of helpOf(command)) print(line)
      return 0
    }
    return await command.run({ values, positionals }, surroundings)
  } catch (error) {
    if (error instanceof UsageError) {
      tell(`pawl ${command.name}: ${error.message}`)
      tell(`See: pawl ${command.name} --help`)
      return USAGE
    }
    if (error instanceof ConfigError) {
      for (const fault of error.faults) tell(fault)
      return CONFIG
    }
    tell(messageOf(error))
    return FAILED
  }
}

// One session id or kid in 64 begins with a hyphen, and nobody should have to know.
const HYPHENED_ID = /^-(?:[A-Za-z0-9_-]{31}|[A-Za-z0-9_-]{42})$/

function parse(command: Command, words: readonly string[]) {
  try {
    const options = { ...command.options, ...HELP }
    const args = words.filter((word) => !HYPHENED_ID.test(word))
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    return { values, positionals: [...positionals, ...words.filter((word) => HYPHENED_ID.test(word))] }
  } catch (error) {
    throw new UsageError((error as Error).message.split('. To specify')[0])
  }
}

function messageOf(error: unknown): string {
  if (error instanceof CommandError || error instanceof KeyFileError || error instanceof StoreFileError)
    return error.message
  if (error instanceof AuditLogError) return error.message
  if (error instanceof UnavailableError) {
    return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
  }
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return `${message}. Stop what listens there, or give another PORT or MANAGEMENT_PORT`
  // The system's own errors name their file; anything else is our mistake, and its stack says where.
  return code !== undefined ? message : String((error as Error).stack ?? error)
}

/** For no command, help, and words that are no command. */
function explain(words: readonly string[], { print, tell }: Surroundings): number {
  const [first] = words
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    print('pawl: an OAuth 2 authorization server')
    print('')
    for (const line of listOf(COMMANDS)) print(line)
    print('')
    print('Each has a --help of its own. Configuration is by environment variables; see the README.')
    return first === undefined ? USAGE : 0
  }
  if (first === '--version') {
    print(`pawl ${VERSION}`)
    return 0
  }
  const siblings = COMMANDS.filter(({ name }) => name.startsWith(`${first} `))
  if (siblings.length > 0) {
    const wantsHelp = words[1] === '--help' || words[1] === '-h'
    for (const line of listOf(siblings)) (wantsHelp ? print : tell)(line)
    return wantsHelp ? 0 : USAGE
  }
  tell(`pawl: there is no command ${JSON.stringify(first)}`)
  tell('See: pawl --help')
  return USAGE
}

function listOf(commands: readonly Command[]): string[] {
  const usage = ({ name, operands }: Command) => `  pawl ${name} ${operands}`.trimEnd()
  const width = Math.max(...commands.map((command) => usage(command).length))
  return commands.map((command) => `${usage(command).padEnd(width)}  ${command.summary}`)
}

function helpOf(command: Command): string[] {
  const options = Object.entries({ ...command.options, ...HELP }).map(([name, option]) => {
    const value = 'value' in option && option.value ? ` ${option.value}` : ''
    return [`  --${name}${value}`, option.help] as const
  })
  const width = Math.max(...options.map(([flag]) => flag.length))
  return [
    `pawl ${command.name} ${command.operands}`.trimEnd(),
    `  ${command.summary}`,
    ...(command.details ? ['', command.details] : []),
    '',
    ...options.map(([flag, help]) => `${flag.padEnd(width)}  ${help}`),
  ]
}
