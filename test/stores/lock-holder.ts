import { once } from 'node:events'
import { open } from 'lmdb'

/*
 * A process that says that it has started, takes the one write transaction of an LMDB when it is told to, says so, and
 * stands still until it is killed.
 */
const told = once(process, 'message')
process.send?.('started')
await told
const path = process.argv[2] ?? ''
const root = open({ path, noSubdir: false, maxDbs: 16, overlappingSync: false })
await root.transaction(() => {
  process.send?.('held')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
