import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import { createReaper } from './reaper.ts'
import './uninstrumented.ts'
import { until } from './until.ts'

export { freePort }

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))
// The server promises ten seconds; a busy machine gets some more before the process counts as stuck.
const STOP_TIMEOUT_MS = 20_000

export interface ProcessSettings {
  /** The configuration. Of the tests' own environment only PATH, HOME and TMPDIR get through. */
  env?: Record<string, string | undefined>
  /** Options of Node.js itself. */
  execArgv?: readonly string[]
  /** Where relative paths lead; unless given a temporary folder that goes with the process. */
  cwd?: string
}

export interface ServerProcess {
  /** The public listener's base URL. */
  url: string
  managementUrl: string
  port: number
  managementPort: number
  pid: number
  cwd: string
  /** The complete lines of stdout so far. */
  readonly lines: string[]
  /** What came on stderr so far. */
  readonly stderr: string
  /** Tells of each further line of stdout. */
  onLine(listener: (line: string) => void): void
  /** Drops the lines so far, for a test that writes more of them than it has room for. */
  forget(): void
  /** SIGTERM; returns the exit code, or null when the process did not end and had to be killed. */
  stop(): Promise<number | null>
  /** SIGKILL. */
  kill(): Promise<void>
}

/**
 * Starts the built server as a process of its own and returns when it says that it is ready. It listens on free ports
 * unless `env` has PORT or MANAGEMENT_PORT.
 *
 * @throws Error with the collected output when the process ends before that
 */
export async function startServer({
  args = ['serve'],
  env = {},
  execArgv = [],
  cwd,
}: ProcessSettings & { args?: string[] } = {}): Promise<ServerProcess> {
  const port = Number(env.PORT ?? (await freePort()))
  const managementPort = Number(env.MANAGEMENT_PORT ?? (await freePort()))
  const managementUrl = `http://127.0.0.1:${managementPort}`
  const ports = { PORT: String(port), MANAGEMENT_PORT: String(managementPort) }
  const pawl = await launch(args, { env: { ...env, ...ports }, execArgv, ...(cwd !== undefined && { cwd }) })
  pawl.child.stdin.end()

  try {
    await until(`${managementUrl}/health/ready answers 200`, async () => {
      return pawl.hasEnded() || (await fetch(`${managementUrl}/health/ready`)).ok
    })
    if (pawl.hasEnded()) throw new Error('the server ended before it was ready')
  } catch (error) {
    await pawl.end('SIGKILL')
    throw new Error(`${(error as Error).message}\n${pawl.stdout}\n${pawl.stderr}`, { cause: error })
  }

  return {
    url: `http://127.0.0.1:${port}`,
    managementUrl,
    port,
    managementPort,
    pid: pawl.child.pid as number,
    cwd: pawl.cwd,
    get lines() {
      return pawl.stdout.split('\n').slice(0, -1)
    },
    get stderr() {
      return pawl.stderr
    },
    onLine: (listener) => createInterface(pawl.child.stdout).on('line', listener),
    forget() {
      pawl.stdout = pawl.stdout.slice(pawl.stdout.lastIndexOf('\n') + 1)
    },
    stop: () => pawl.end('SIGTERM'),
    async kill() {
      await pawl.end('SIGKILL')
    },
  }
}

/** The processes that this one has started, such as a server's workers. Linux tells. */
export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((word) => word !== '')
    .map(Number)
}

/**
 * Sends a signal to the first of the processes that this one has started.
 *
 * @returns its id
 * @throws Error when there is none: 0 in its place would be the whole group that the caller is in.
 */
export function signalChildOf(pid: number, signal: NodeJS.Signals): number {
  const [child] = childrenOf(pid)
  if (child === undefined) throw new Error(`process ${pid} has started no other`)
  process.kill(child, signal)
  return child
}

export interface CliResult {
  /** null when a signal ended the process. */
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the built command to its end: `runCli(['user', 'add', 'ada', '--password-stdin'], { env, stdin: 'secret\n' })`. */
export async function runCli(
  args: string[],
  { stdin = '', ...settings }: ProcessSettings & { stdin?: string } = {},
): Promise<CliResult> {
  const pawl = await launch(args, settings)
  // A command that does not read its input closes the pipe.
  pawl.child.stdin.on('error', () => {}).end(stdin)
  const code = await pawl.end()
  return { code, stdout: pawl.stdout, stderr: pawl.stderr }
}

interface Launched {
  child: ChildProcessWithoutNullStreams
  cwd: string
  stdout: string
  stderr: string
  hasEnded(): boolean
  /** Sends the signal, if any, waits for the end of the process and its output, and cleans up; returns the exit code. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

async function launch(args: string[], settings: ProcessSettings): Promise<Launched> {
  const ownFolder = settings.cwd === undefined ? await mkdtemp(join(tmpdir(), 'pawl-server-')) : ''
  const cwd = settings.cwd ?? ownFolder
  const { PATH, HOME, TMPDIR } = process.env
  const reaper = createReaper(ownFolder)
  const child = spawn(process.execPath, [...(settings.execArgv ?? []), MAIN, ...args], {
    cwd,
    env: { PATH, HOME, TMPDIR, ...settings.env },
  })
  reaper.watch(child.pid)
  child.once('exit', () => reaper.watch(undefined))
  const closed = once(child, 'close')
  const launched: Launched = {
    child,
    cwd,
    stdout: '',
    stderr: '',
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    async end(signal) {
      if (signal && !launched.hasEnded()) child.kill(signal)
      const stuck = signal && setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      await closed
      clearTimeout(stuck)
      await reaper.finish()
      return child.exitCode
    },
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    launched.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    launched.stderr += text
  })
  return launched
}
