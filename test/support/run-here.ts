import { runCommandLine } from '../../src/cli/run.ts'
import type { CliResult } from './processes.ts'

/**
 * Runs a command line within this process, for the many that end before they touch anything but their arguments and
 * their environment: a process of its own would take a hundred times as long.
 */
export async function runHere(args: string[], env: Record<string, string> = {}): Promise<CliResult> {
  const stdout: string[] = []
  const stderr: string[] = []
  const code = await runCommandLine(args, {
    environment: env,
    print: (line) => stdout.push(`${line}\n`),
    tell: (line) => stderr.push(`${line}\n`),
    readStdin: () => Promise.reject(new Error('it reads standard input')),
    openStdin: () => {
      throw new Error('it reads standard input')
    },
    askSecret: () => Promise.reject(new Error('it asks for a secret')),
    ask: () => Promise.reject(new Error('it asks a question')),
    untilStopped: () => Promise.reject(new Error('it serves')),
  })
  return { code, stdout: stdout.join(''), stderr: stderr.join('') }
}
