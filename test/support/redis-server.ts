import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { findRedis } from './find-redis.ts'
import { freePort } from './free-port.ts'
import { createReaper, type Reaper } from './reaper.ts'
import { until } from './until.ts'

export interface Launch {
  args: string[]
  password?: string
  /** The certificate authority to trust; its presence makes the connection TLS. */
  caFile?: string
}

/** What to start on the port and in the folder that a server got; may write the files that its arguments name. */
export type Prepare = (port: number, dir: string) => Launch | Promise<Launch>

/** The arguments that every data server of the tests has: loopback only, and nothing written to disk. */
export function serverArguments(port: number, dir: string): string[] {
  return ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '']
}

/** One redis-server process on a free loopback port, in a temporary folder of its own. */
export class RedisServer {
  readonly port: number
  readonly dir: string
  readonly #launch: Launch
  readonly #reaper: Reaper
  #child: ChildProcess | undefined

  private constructor(port: number, dir: string, launch: Launch, reaper: Reaper) {
    this.port = port
    this.dir = dir
    this.#launch = launch
    this.#reaper = reaper
  }

  /** Starts a server and returns when it answers commands. */
  static async start(prepare: Prepare): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort()
      const dir = await mkdtemp(join(tmpdir(), 'pawl-redis-'))
      const reaper = createReaper(dir)
      try {
        const server = new RedisServer(port, dir, await prepare(port, dir), reaper)
        await server.#start()
        return server
      } catch (error) {
        await reaper.finish()
        // Another process may have taken the port since it was found free.
        if (attempt === 3 || !String(error).includes('Address already in use')) throw error
      }
    }
  }

  get url(): string {
    const { caFile, password } = this.#launch
    return `${caFile ? 'rediss' : 'redis'}://${password ? `:${password}@` : ''}127.0.0.1:${this.port}`
  }

  /** Path of the certificate authority that a client must trust; undefined without TLS. */
  get caFile(): string | undefined {
    return this.#launch.caFile
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('this redis-server does not run')
    return this.#child.pid
  }

  /** A new connection, for the caller to close. */
  client(options: Omit<RedisOptions, 'replyMapping'> = {}): Redis {
    if (!this.caFile) return new Redis(this.url, options)
    return new Redis(this.url, { tls: { ca: readFileSync(this.caFile) }, ...options })
  }

  /** Runs one command on a connection of its own and returns the reply; fails at once if the server is not there. */
  async cli(command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = this.client({ lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0 })
    // The command's own rejection says what is wrong; without a listener ioredis prints it as well.
    client.on('error', () => {})
    try {
      await client.connect()
      return await client.call(command, ...args)
    } finally {
      // On a connection that is closed already ioredis waits two seconds for it to close again.
      if (client.status !== 'close' && client.status !== 'end') client.disconnect()
    }
  }

  /** Ends the process with SIGKILL: nothing is flushed or said goodbye to. The folder stays, for `restart`. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Starts the server again on the same port and folder; ends it in good order before that if it still runs. */
  async restart(): Promise<void> {
    this.resume()
    await this.#end('SIGTERM')
    await this.#start()
  }

  /** Freezes the process: its connections stay open and nothing answers. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Ends the process and removes its folder. */
  async stop(): Promise<void> {
    await this.#end('SIGKILL')
    await this.#reaper.finish()
  }

  async #start(): Promise<void> {
    const binary = findRedis()
    if (!binary) throw new Error('no redis-server on PATH; node scripts/ensure-redis.mjs provides it')
    const logFile = join(this.dir, 'redis.log')
    const log = openSync(logFile, 'w')
    const child = spawn(binary, this.#launch.args, { stdio: ['ignore', log, log] })
    closeSync(log)
    // A test that forgets to stop its server ends nevertheless, and the reaper cleans up after it.
    child.unref()
    this.#child = child
    this.#reaper.watch(child.pid)
    child.once('exit', () => {
      this.#reaper.watch(undefined)
      this.#child = undefined
    })
    await until(`redis-server answers on port ${this.port}`, async () => {
      if (this.#child !== child) return 'ended'
      // Only its own process id proves that it is this server, not another one on the same port, that answers.
      return String(await this.cli('INFO', 'server')).includes(`process_id:${child.pid}\r`)
    })
    if (this.#child !== child)
      throw new Error(`redis-server did not start:\n${readFileSync(logFile, 'utf8')}`)
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (!child) return
    child.ref()
    child.kill(signal)
    await once(child, 'exit')
  }
}
