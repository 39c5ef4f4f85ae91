import { openLmdbStore } from '../../src/stores/lmdb/store.ts'

/*
 * A process that opens a store and closes it again, as commands do, so often in so many milliseconds, and says how often.
 */
const [, , folder = '', ms] = process.argv
const end = performance.now() + Number(ms)
let openings = 0
while (performance.now() < end) {
  await openLmdbStore(folder, false).close()
  openings += 1
}
process.send?.(openings)
