import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'

/**
 * Ends a test's server process and removes its folder, whichever way the test's own process ends.
 *
 * An `exit` handler is not enough: tap ends a test file that has timed out with SIGKILL. So a small shell holds the other
 * end of a pipe; when the pipe closes, by `finish` or by the death of this process, it kills and cleans up.
 */
export interface Reaper {
  /** The process to end; undefined once it has ended, since its id may then be another's. */
  watch(pid: number | undefined): void
  /** Kills the watched process, removes the folder, and returns when both are done. */
  finish(): Promise<void>
}

const SCRIPT = `
while read -r line; do pid=$line; done
[ -z "$pid" ] || kill -9 "$pid"
[ -z "$1" ] || rm -rf "$1"
`

/** @param dir the folder to remove at the end; none when it is not the server's own */
export function createReaper(dir = ''): Reaper {
  // Detached, for a Ctrl-C at the terminal would end it together with the tests.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'reaper', dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  const pipe = shell.stdin as Socket
  pipe.unref()
  // Written to after the shell has gone, it would end the test with EPIPE.
  pipe.on('error', () => {})
  return {
    watch(pid) {
      if (pipe.writable) pipe.write(`${pid ?? ''}\n`)
    },
    async finish() {
      if (shell.exitCode !== null || shell.signalCode !== null) return
      shell.ref()
      pipe.end()
      await once(shell, 'exit')
    },
  }
}
