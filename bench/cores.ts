import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Who runs where: the server has a core to itself, as far as there are two and they can be assigned. */
export interface Cores {
  /** The server's, and the one on which the signing rate is measured; `undefined` where nothing can be pinned. */
  readonly server: number | undefined
  /** Redis's and the load's, as `taskset` writes a list. */
  readonly others: string
  readonly othersCount: number
}

/** Assigns the cores and puts this process, hence what it starts from now on, on those beside the server's. */
export function assignCores(): Cores {
  const [server, ...rest] = allowedCores()
  const others = rest.length > 0 ? rest : [server]
  const list = others.join(',')
  const pinned = server !== undefined && runs('taskset', ['-a', '-c', '-p', list, String(process.pid)])
  return { server: pinned ? server : undefined, others: list, othersCount: others.length }
}

/**
 * For servers that share a machine's cores: the cores one by one, each for a server of its own, and this process on all of
 * them, where it was. Without `taskset` nothing can be pinned.
 */
export function eachCore(): Cores[] {
  const all = allowedCores()
  const canPin = runs('taskset', ['-c', '-p', String(process.pid)])
  const rest = { others: all.join(','), othersCount: all.length }
  return all.length === 0
    ? [{ server: undefined, ...rest }]
    : all.map((core) => ({ server: canPin ? core : undefined, ...rest }))
}

/** A command line, on the server's core where that can be had. */
export function onServerCore(cores: Cores, command: string, args: readonly string[]): [string, string[]] {
  if (cores.server === undefined) return [command, [...args]]
  return ['taskset', ['-c', String(cores.server), command, ...args]]
}

/**
 * Processor time that a process has used so far, user and system, all its threads. In steps of 10 ms.
 *
 * @returns microseconds; `undefined` on a system without `/proc`.
 */
export function cpuMicrosecondsOf(pid: number): number | undefined {
  try {
    // proc(5): utime and stime are fields 14 and 15; the name before them may hold anything, spaces too.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * MICROSECONDS_PER_TICK
  } catch {
    return undefined
  }
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const MICROSECONDS_PER_TICK = 10_000

function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
  } catch {
    return []
  }
}

function runs(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
