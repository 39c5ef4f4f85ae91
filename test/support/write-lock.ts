import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { nextMessage } from './next-message.ts'

const LOCK_HOLDER = fileURLToPath(new URL('../stores/lock-holder.js', import.meta.url))

/** Has another process take the write lock of an LMDB and stand still. @returns what ends that process. */
export async function holdWriteLock(t: Test, dataDir: string): Promise<() => Promise<void>> {
  return (await readyWriteLock(t, dataDir))()
}

/**
 * Starts a process that is to take the write lock of an LMDB, which takes longer than the lock itself.
 *
 * @returns what has it do so; that returns what ends the process.
 */
export async function readyWriteLock(t: Test, dataDir: string): Promise<() => Promise<() => Promise<void>>> {
  const holder = fork(LOCK_HOLDER, [dataDir], { execArgv: [] })
  t.teardown(() => holder.kill('SIGKILL'))
  await nextMessage(holder)
  return async () => {
    holder.send('now')
    await nextMessage(holder)
    return async () => {
      const exited = once(holder, 'exit')
      holder.kill('SIGKILL')
      await exited
    }
  }
}
