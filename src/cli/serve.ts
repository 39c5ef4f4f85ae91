import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, pino } from 'pino'
import { type Config, describeConfig, readConfig } from '../config/config.ts'
import type { Seed } from '../config/seed-file.ts'
import type { TokenServices } from '../grants/grant.ts'
import type { Store } from '../stores/contract.ts'
import { untilReachable } from '../stores/open-store.ts'
import { VERSION } from '../version.ts'
import { WorkerStartError } from '../workers/pool.ts'
import { workerRole } from '../workers/worker.ts'
import { type Command, noOperands, type Surroundings } from './command.ts'
import { beginSeeding, readSeed } from './seed.ts'

/** A write for each log line would cost more than the line: they go out together, some times a second. */
const LOG_BATCHES = { minLength: 4096 }
/** Up to 4096 bytes written to a pipe are never torn by what another process writes to it (pipe(7)). */
const SHARED_LOG_BATCHES = { minLength: 3072, maxWrite: 4096 }
const LOG_FLUSH_MS = 200
/** What the log gets at the end, when it is not read. */
const LOG_LAST_CHANCE_MS = 500

/** How long the start waits for a store that is being started beside it, before it goes on without. */
const STORE_PATIENCE_MS = 2000

const serve: Command = {
  name: 'serve',
  operands: '',
  summary: 'run the server, configured by environment variables',
  details:
    'Every variable is in the README. A bad configuration ends with exit code 78 and one line per fault.',
  options: {
    'check-config': {
      type: 'boolean',
      help: 'check the configuration and SEED_FILE, print the former, secrets redacted, and exit',
    },
  },
  async run(args, surroundings) {
    noOperands(args)
    const { environment, print } = surroundings
    const config = readConfig(environment)
    const worker = workerRole(environment, config.workers)
    // Once for each start of the server: one that follows a worker would undo what a person has changed since.
    const isToSeed = !worker || (worker.place === 0 && worker.isFirst)
    const seed = isToSeed ? await readSeed(config) : undefined
    if (args.values['check-config']) {
      for (const [name, value] of Object.entries(describeConfig(config))) print(`${name}=${value}`)
      return 0
    }
    return config.workers > 1 && !worker
      ? servePrimary(config, surroundings)
      : serveTokens(config, seed, surroundings, worker)
  },
}

/** The one process of most servers, or one of several workers. */
async function serveTokens(
  config: Config,
  seed: Seed | undefined,
  { untilStopped }: Surroundings,
  worker: ReturnType<typeof workerRole>,
): Promise<number> {
  const { log, flush, end } = openLog(config)
  // Loaded here, since the commands that serve nothing need not wait for it.
  const { startServer } = await import('../http/server.ts')
  const prepare = seed && ((services: TokenServices) => beginSeeding(services, seed, log))
  const server = await startServer(config, log, flush, worker, prepare)
  const { signing, store } = server.services
  log[worker ? 'debug' : 'info'](
    {
      ...startedAs(config),
      listening: server.url,
      management: server.managementUrl,
      kid: signing.active.kid,
      ...(worker && { place: worker.place }),
    },
    worker ? 'worker started' : 'started',
  )
  // Beside the waiting for a signal, which may come first.
  void untilReachable(store, STORE_PATIENCE_MS).then(
    () => {
      // What a seed is to bring may yet come; and one worker speaks for all.
      if (!seed && !worker?.place) void warnOfNobody(store, log)
    },
    () => log.error('the store does not answer yet; requests get 503 until it does'),
  )
  await untilStopped(async () => {
    log[worker ? 'debug' : 'info']('stopping')
    await server.close()
    log[worker ? 'debug' : 'info']('stopped')
    await end()
  })
  return 0
}

/** A volume that is not mounted, or another database, is a store like any other, and every session would be refused. */
async function warnOfNobody({ clients }: Store, log: Logger): Promise<void> {
  try {
    for await (const _ of clients.list()) return
    log.warn(
      'no client is registered in this store: pawl client add. If there were any, it is another store than before: see STORE_URL',
    )
  } catch {
    // One that is damaged is one, and a store that is lost again tells of itself.
  }
}

/** The process that starts the workers, minds them, and speaks for them. */
async function servePrimary(config: Config, { untilStopped, tell }: Surroundings): Promise<number> {
  const { log, end } = openLog(config)
  const { startPrimary } = await import('../http/primary-server.ts')
  try {
    const primary = await startPrimary(config, log)
    log.info(
      {
        ...startedAs(config),
        listening: primary.url,
        management: primary.managementUrl,
        kid: primary.kid,
      },
      'started',
    )
    await untilStopped(async () => {
      log.info('stopping')
      await primary.close()
      log.info('stopped')
      await end()
    })
    return 0
  } catch (error) {
    if (!(error instanceof WorkerStartError)) throw error
    await end()
    tell(`${error.message}; what it said is above`)
    return error.exitCode
  }
}

/** What the first line of the log says of the server, whichever process writes it. */
function startedAs({ issuer, store, workers }: Config): object {
  return {
    version: VERSION,
    node: process.version,
    issuer,
    store: store.kind,
    workers,
    cores: availableParallelism(),
  }
}

function openLog({ logLevel, workers }: Config) {
  const destination = pino.destination({
    dest: 1,
    sync: false,
    ...(workers > 1 ? SHARED_LOG_BATCHES : LOG_BATCHES),
  })
  const log = pino({ level: logLevel, base: { pid: process.pid } }, destination)
  const flush = () => destination.flush()
  const flushing = setInterval(flush, LOG_FLUSH_MS).unref()
  const end = async () => {
    clearInterval(flushing)
    // What is being written goes first; whoever reads the log may have stopped reading.
    const written = new Promise<void>((resolve) => destination.flush(() => resolve()))
    await Promise.race([written, sleep(LOG_LAST_CHANCE_MS, undefined, { ref: false })])
    destination.flushSync()
  }
  return { log, flush, end }
}

export const SERVE_COMMANDS: readonly Command[] = [serve]
