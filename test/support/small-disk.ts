import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A file system of its own with so much room, which needs no privileges: it is mounted in memory, in the namespaces of a
 * process that only reads a pipe, and reached by way of that process. Both go when the test ends, however it does.
 *
 * @returns its folder; `undefined` where the system lets nobody do that.
 */
export async function smallDisk(t: Test, mebibytes: number): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'pawl-disk-'))
  t.teardown(() => rmdir(folder))
  const mount = `mount -t tmpfs -o size=${mebibytes}m tmpfs "$0" && echo mounted && exec cat`
  // Root in a container may have the one and not the other.
  for (const namespaces of [['--user', '--map-root-user', '--mount'], ['--mount']]) {
    const holder = spawn('unshare', [...namespaces, 'sh', '-c', mount, folder], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const ended = once(holder, 'close').catch(() => undefined)
    const isThere = await Promise.race([
      once(holder.stdout, 'data').then(() => true),
      ended.then(() => false),
    ])
    if (isThere) {
      t.teardown(async () => {
        holder.stdin.end()
        await ended
      })
      return `/proc/${holder.pid}/root${folder}`
    }
  }
  return undefined
}
