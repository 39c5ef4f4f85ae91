import t from 'tap'
import { holdKills } from './lmdb-kills.ts'

const KILLS = Number(process.env.KILLS ?? 40)

t.test(`a writer on LMDB that is killed ${KILLS} times`, (t) => holdKills(t, KILLS))
