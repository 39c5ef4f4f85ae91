import t from 'tap'
import { holdPages } from './lmdb-pages.ts'

const LIMIT_MS = 200_000
const SEED = Number(process.env.SEED ?? Date.now())

t.test(`pages of the embedded store that are damaged, seed ${SEED}`, (t) =>
  holdPages(t, Number.POSITIVE_INFINITY, LIMIT_MS, SEED),
)
