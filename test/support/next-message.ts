import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/**
 * The next message of a forked process.
 *
 * @throws Error when the process ends without one.
 */
export async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const stop = new AbortController()
  const ended = once(child, 'exit', { signal: stop.signal }).then(([code, signal]) => {
    throw new Error(`the process ended with ${signal ?? code} and said nothing`)
  })
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal: stop.signal }), ended])) as [T]
    return message
  } finally {
    stop.abort()
    ended.catch(() => undefined)
  }
}
