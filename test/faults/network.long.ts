import t from 'tap'
import { PROMISES } from './hold-history.ts'
import { FAULTS, playFaults } from './network.ts'

/** How often each fault comes, short and long. */
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 2)

// Longer than a connection may be silent, and shorter.
for (const lastsMs of [500, 2300]) {
  t.test(`each fault for ${lastsMs} ms`, (t) =>
    playFaults(t, Object.keys(FAULTS), { lastsMs, rounds: ROUNDS, promises: PROMISES }),
  )
}
