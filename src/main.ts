#!/usr/bin/env node
import cluster from 'node:cluster'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import closeWithGrace from 'close-with-grace'
import { CommandError, type Surroundings } from './cli/command.ts'
import { runCommandLine } from './cli/run.ts'
import { isOurs } from './workers/messages.ts'

/*
 * The only reader of the environment, of standard input and of signals.
 */
const STOP_LIMIT_MS = 9000
/** Below what the primary grants a worker, which can so say itself that it took too long. */
const WORKER_STOP_LIMIT_MS = 7300

/** Asks on the terminal; what is typed shows in `output`. */
async function askOn(output: Writable, question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined
  process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  try {
    return await new Promise<string>((resolve) => lines.question('', resolve))
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })
const WORKER_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/**
 * A terminal or a service manager may signal the whole group, the primary's word comes as well, and neither of them may
 * count as somebody who has lost patience.
 */
function stopWithPrimary(close: () => void): void {
  let stopping = false
  const stop = () => {
    if (!stopping) close()
    stopping = true
  }
  for (const signal of WORKER_SIGNALS) process.on(signal, stop)
  process.on('message', (message: unknown) => {
    if (isOurs(message) && message.pawl === 'stop') stop()
  })
}

const surroundings: Surroundings = {
  environment: process.env,
  print: (line) => process.stdout.write(`${line}\n`),
  tell: (line) => process.stderr.write(`${line}\n`),
  readStdin: async () => {
    // Broken UTF-8 would become U+FFFD: a password that nobody typed.
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(await buffer(process.stdin))
    } catch {
      throw new CommandError('Standard input is not UTF-8')
    }
  },
  openStdin: () => process.stdin,
  askSecret: (question) => askOn(nowhere(), question),
  ask: (question) => askOn(process.stderr, question),
  untilStopped: (work) =>
    new Promise((resolve) => {
      const closing = closeWithGrace(
        {
          delay: cluster.isWorker ? WORKER_STOP_LIMIT_MS : STOP_LIMIT_MS,
          skip: ['unhandledRejection', ...(cluster.isWorker ? WORKER_SIGNALS : [])],
        },
        async ({ err }) => {
          if (err) process.stderr.write(`${err.stack ?? err.message}\n`)
          await work()
          resolve()
        },
      )
      if (cluster.isWorker) stopWithPrimary(closing.close)
      process.on('unhandledRejection', (reason) => {
        // LMDB tells of a failed commit, such as a full disk, once more than anybody can hear. Its request was answered.
        if (reason instanceof Error && reason.message.startsWith('Commit failed')) return
        process.stderr.write(`${reason instanceof Error ? reason.stack : reason}\n`)
        process.exitCode = 1
        closing.close()
      })
    }),
}

// Whoever reads may have had enough, as `head` has: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

process.exitCode = await runCommandLine(process.argv.slice(2), surroundings)
// The channel to the primary would keep a worker that could not start alive.
cluster.worker?.disconnect()
