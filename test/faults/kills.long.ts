import t from 'tap'
import { STORE_KINDS } from '../support/deployment.ts'
import { playKills } from './kills.ts'

/** How often a server is killed, on both stores together. */
const KILLS = Number(process.env.KILLS ?? 200)

for (const kind of STORE_KINDS) {
  t.test(`a server that is killed at random moments, on ${kind}`, (t) =>
    playKills(t, kind, Math.ceil(KILLS / STORE_KINDS.length)),
  )
}
