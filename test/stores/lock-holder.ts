import { open } from 'lmdb'

/*
 * A process that takes the one write transaction of an LMDB, says so, and stands still until it is killed.
 */
const path = process.argv[2] ?? ''
const root = open({ path, noSubdir: false, maxDbs: 16, overlappingSync: false })
await root.transaction(() => {
  process.send?.('held')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
