import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { nextMessage } from '../support/next-message.ts'

const BUSY_WRITER = fileURLToPath(new URL('./busy-writer.js', import.meta.url))
const OPENER = fileURLToPath(new URL('./opener.js', import.meta.url))
const OPENERS = 2
/** Without the look of each transaction at the one before, a second or two were enough for one to be lost. */
const LASTS_MS = 6000

// The writer ends when the store has forgotten a sign-in or a rotation that it had acknowledged.
t.test('no transaction is forgotten because others open the store meanwhile', async (t) => {
  const folder = join(t.testdir(), 'data')
  const writer = spawn(process.execPath, [BUSY_WRITER, `lmdb:${folder}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const processes: ChildProcess[] = [writer]
  t.teardown(() => {
    for (const one of processes) one.kill('SIGKILL')
  })
  let written = 0
  writer.stdout.on('data', (chunk: Buffer) => {
    written += chunk.toString().split('\n').length - 1
  })
  await once(writer.stdout, 'data')
  const openers = Array.from({ length: OPENERS }, () =>
    fork(OPENER, [folder, String(LASTS_MS)], { execArgv: [] }),
  )
  processes.push(...openers)
  const openings = await Promise.all(openers.map((opener) => nextMessage(opener)))
  t.equal(writer.exitCode, null, `${written} writes while it was opened ${openings.join(' and ')} times`)
  t.ok(
    openings.every((count) => Number(count) > 10),
    'each opened it again and again',
  )
})
