#!/usr/bin/env node
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import closeWithGrace from 'close-with-grace'
import type { Surroundings } from './cli/command.ts'
import { runCommandLine } from './cli/run.ts'

/*
 * The only reader of the environment, of standard input and of signals.
 */
const STOP_LIMIT_MS = 9000

/** Asks on the terminal; what is typed does not show. */
async function askSecret(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined
  process.stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await new Promise<string>((resolve) => lines.question('', resolve))
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

const surroundings: Surroundings = {
  environment: process.env,
  print: (line) => process.stdout.write(`${line}\n`),
  tell: (line) => process.stderr.write(`${line}\n`),
  readStdin: () => text(process.stdin),
  askSecret,
  untilStopped: (work) =>
    new Promise((resolve) => {
      closeWithGrace({ delay: STOP_LIMIT_MS }, async ({ err }) => {
        if (err) process.stderr.write(`${err.stack ?? err.message}\n`)
        await work()
        resolve()
      })
    }),
}

process.exitCode = await runCommandLine(process.argv.slice(2), surroundings)
