import { pino } from 'pino'
import { describeConfig, readConfig } from '../config/config.ts'
import { untilReachable } from '../stores/open-store.ts'
import { type Command, noOperands } from './command.ts'
import { createSeeding, readSeed } from './seed.ts'

/** A write for each log line would cost more than the line: they go out together, some times a second. */
const LOG_BATCH_BYTES = 4096
const LOG_FLUSH_MS = 200

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
  async run(args, { environment, print, untilStopped }) {
    noOperands(args)
    const config = readConfig(environment)
    const seed = await readSeed(config)
    if (args.values['check-config']) {
      for (const [name, value] of Object.entries(describeConfig(config))) print(`${name}=${value}`)
      return 0
    }
    const destination = pino.destination({ dest: 1, sync: false, minLength: LOG_BATCH_BYTES })
    const log = pino({ level: config.logLevel, base: { pid: process.pid } }, destination)
    const flush = () => destination.flush()
    const flushing = setInterval(flush, LOG_FLUSH_MS).unref()
    // Loaded here, since the commands that serve nothing need not wait for it.
    const { startServer } = await import('../http/server.ts')
    const seeding = seed && createSeeding(seed, log)
    const server = await startServer(config, log, flush, async (services) => seeding?.begin(services))
    const { signing, store } = server.services
    log.info(
      {
        issuer: config.issuer,
        listening: server.url,
        management: server.managementUrl,
        store: config.store.kind,
        kid: signing.active.kid,
      },
      'started',
    )
    // Beside the waiting for a signal, which may come first.
    untilReachable(store, STORE_PATIENCE_MS).catch(() =>
      log.error('the store does not answer yet; requests get 503 until it does'),
    )
    await untilStopped(async () => {
      log.info('stopping')
      await seeding?.stop()
      await server.close()
      log.info('stopped')
      clearInterval(flushing)
      destination.flushSync()
    })
    return 0
  },
}

export const SERVE_COMMANDS: readonly Command[] = [serve]
