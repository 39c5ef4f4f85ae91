/*
 * Loaded into a server before it starts (`node --import`), counts what a request costs there, where a clock would only tell
 * how busy the machine is. At SIGWINCH it says so on stderr, as a line of JSON.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'

/** What has been done since the process began. */
export interface Reading {
  readonly calls: Readonly<Record<Counted, number>>
  /** Bytes on the heap: as long as no garbage is collected, how much has been allocated. */
  readonly heap: number
  readonly collections: number
}

const COUNTED = ['sign', 'createHmac', 'hash', 'createHash', 'randomBytes', 'randomUUID'] as const
type Counted = (typeof COUNTED)[number]

const calls = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<Counted, number>
for (const name of COUNTED) {
  const original = crypto[name] as (...args: unknown[]) => unknown
  Object.assign(crypto, {
    [name](...args: unknown[]) {
      calls[name] += 1
      return original(...args)
    },
  })
}
syncBuiltinESMExports()

let collections = 0
new PerformanceObserver((list) => {
  collections += list.getEntries().length
}).observe({ entryTypes: ['gc'] })

process.on('SIGWINCH', () => {
  const { used_heap_size: heap } = getHeapStatistics()
  const reading: Reading = { calls, heap, collections }
  process.stderr.write(`${JSON.stringify(reading)}\n`)
})
