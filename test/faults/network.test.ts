import t from 'tap'
import { BUSY_PROMISES } from './hold-history.ts'
import { playFaults } from './network.ts'

// In every run only these; the others are for the long one.
const NAMES = ['a Redis that is read-only', 'connections that are half closed']

t.test('faults between servers and their Redis', (t) =>
  playFaults(t, NAMES, { lastsMs: 300, rounds: 1, promises: BUSY_PROMISES }),
)

// The connection that is made after the first was given up is dead, too, and young when the network is back.
t.test('connections that die without a word, and the next ones with them', (t) =>
  playFaults(t, ['a network that swallows everything'], {
    lastsMs: 2300,
    rounds: 1,
    promises: BUSY_PROMISES,
  }),
)
