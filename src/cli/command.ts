import type { Readable } from 'node:stream'
import type { ParseArgsConfig } from 'node:util'
import type { Environment } from '../config/config.ts'

/** What a command may use of the process. */
export interface Surroundings {
  readonly environment: Environment
  /** One line to standard output: what the command was asked for. */
  readonly print: (line: string) => void
  /** One line to standard error: what a person should know besides. */
  readonly tell: (line: string) => void
  readonly readStdin: () => Promise<string>
  /** Standard input as it comes, for what is too large to be read at once. */
  readonly openStdin: () => Readable
  /** Asks a person for a secret, which is not shown; `undefined` where there is no terminal. */
  readonly askSecret: (question: string) => Promise<string | undefined>
  /** Asks a person for a word, which is shown; `undefined` where there is no terminal. */
  readonly ask: (question: string) => Promise<string | undefined>
  /** Resolves when the process is told to stop; `work` then ends what is open. */
  readonly untilStopped: (work: () => Promise<void>) => Promise<void>
}

export interface Arguments {
  readonly positionals: readonly string[]
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
}

/** One verb of the program, or one of a noun's verbs. */
export interface Command {
  /** As it is typed, e.g. `user add`. */
  readonly name: string
  /** What follows the name, e.g. `NAME`. */
  readonly operands: string
  /** One line, for the list. */
  readonly summary: string
  /** More, for the command's own help. */
  readonly details?: string
  readonly options: Readonly<Record<string, OptionConfig>>
  /** @returns the exit code. */
  readonly run: (args: Arguments, surroundings: Surroundings) => Promise<number>
}

export type OptionConfig = NonNullable<ParseArgsConfig['options']>[string] & {
  readonly help: string
  /** The placeholder of the value. */
  readonly value?: string
}

/** The person at the keyboard asked for something that cannot be; shown without a stack. */
export class UsageError extends Error {}

/** It was asked for rightly and cannot be done; shown without a stack. */
export class CommandError extends Error {}

export const JSON_OPTION = { json: { type: 'boolean', help: 'print JSON, one value per line' } } as const

/** The one operand of a command. @throws {UsageError} when there is none or there are more. */
export function onlyOperand(args: Arguments, what: string): string {
  const [operand, ...more] = args.positionals
  if (operand === undefined) throw new UsageError(`${what} is missing`)
  if (more.length > 0) throw new UsageError(`only one ${what} can be given`)
  return operand
}

export function noOperands(args: Arguments): void {
  if (args.positionals.length > 0) throw new UsageError('too many arguments were given')
}
