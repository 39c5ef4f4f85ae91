import t from 'tap'
import { holdPages } from './lmdb-pages.ts'

/** All kinds, on many pages, are for lmdb-pages.long.ts. */
const DAMAGES = 10

const SEED = Number(process.env.SEED ?? Date.now())

t.test(`pages of the embedded store that are damaged, seed ${SEED}`, (t) =>
  holdPages(t, DAMAGES, 60_000, SEED),
)
