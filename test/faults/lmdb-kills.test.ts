import t from 'tap'
import { holdKills } from './lmdb-kills.ts'

t.test('a writer on LMDB that is killed at any moment', (t) => holdKills(t, 3))
