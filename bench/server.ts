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

/**
 * Starts `pawl serve` on its core as `npm start` does, at its default settings: one log line per request goes into a pipe that is drained.
 *
 * @param keysDir may not exist yet.
 * @param more variables of the configuration.
 */
export async function startServer(
  cores: Cores,
  storeUrl: string,
  keysDir: string,
  more: Readonly<Record<string, string>> = {},
): Promise<BenchServer> {
  const port = await freePort()
  const managementPort = await freePort()
  const { PATH, HOME, TMPDIR, NODE_OPTIONS } = process.env
  const reaper = createReaper()
  const child = spawn(...onServerCore(cores, process.execPath, ['--max-semi-space-size=4', MAIN, 'serve']), {
    env: {
      ...{ PATH, HOME, TMPDIR, NODE_OPTIONS },
      ...{
        PORT: String(port),
        MANAGEMENT_PORT: String(managementPort),
        STORE_URL: storeUrl,
        KEYS_DIR: keysDir,
      },
      ...more,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  reaper.watch(child.pid)
  const exited = once(child, 'exit')
  child.stdout.resume()

  async function stop(): Promise<void> {
    child.kill('SIGTERM')
    await exited
    reaper.watch(undefined)
    await reaper.finish()
  }
  try {
    await until('the server is ready', async () => {
      if (child.exitCode !== null) return 'ended'
      return (await fetch(`http://127.0.0.1:${managementPort}/health/ready`)).ok
    })
    if (child.exitCode !== null) throw new Error('the server ended before it was ready')
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `http://127.0.0.1:${port}`, pid: child.pid!, stop }
}
