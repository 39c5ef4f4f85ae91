import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/support/free-port.ts'
import { createReaper } from '../test/support/reaper.ts'
import { until } from '../test/support/until.ts'
import { type Cores, onServerCore } from './cores.ts'

const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url))

export interface BenchServer {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

export interface SpawnedServer extends BenchServer {
  hasEnded(): boolean
}

/** How to start a server program; the port is added to its variables as `PORT`. */
export interface Program {
  /** Arguments of node. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Starts a server on its core. Its standard output goes into a pipe that is drained. */
export async function spawnServer(cores: Cores, { args, env }: Program): Promise<SpawnedServer> {
  const port = await freePort()
  const { PATH, HOME, TMPDIR, NODE_OPTIONS } = process.env
  const reaper = createReaper()
  const child = spawn(...onServerCore(cores, process.execPath, args), {
    env: { ...{ PATH, HOME, TMPDIR, NODE_OPTIONS }, PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  reaper.watch(child.pid)
  const exited = once(child, 'exit')
  child.stdout.resume()
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid!,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    async stop(): Promise<void> {
      child.kill('SIGTERM')
      await exited
      reaper.watch(undefined)
      await reaper.finish()
    },
  }
}

/** `pawl serve` as `npm start` starts it, at its default settings: one log line per request, which goes down the drain. */
export function pawl(
  storeUrl: string,
  keysDir: string,
  managementPort: number,
  more: Readonly<Record<string, string>> = {},
): Program {
  const env = { MANAGEMENT_PORT: String(managementPort), STORE_URL: storeUrl, KEYS_DIR: keysDir, ...more }
  return { args: ['--max-semi-space-size=4', MAIN, 'serve'], env }
}

/**
 * Starts `pawl serve` on its core as `npm start` does.
 *
 * @param keysDir may not exist yet.
 * @param more variables of the configuration.
 * @param nodeArgs more options of Node.js.
 */
export async function startServer(
  cores: Cores,
  storeUrl: string,
  keysDir: string,
  more: Readonly<Record<string, string>> = {},
  nodeArgs: readonly string[] = [],
): Promise<BenchServer> {
  const managementPort = await freePort()
  const { args, env } = pawl(storeUrl, keysDir, managementPort, more)
  const server = await spawnServer(cores, { args: [...nodeArgs, ...args], env })
  try {
    await until('the server is ready', async () => {
      if (server.hasEnded()) return 'ended'
      return (await fetch(`http://127.0.0.1:${managementPort}/health/ready`)).ok
    })
    if (server.hasEnded()) throw new Error('the server ended before it was ready')
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}
