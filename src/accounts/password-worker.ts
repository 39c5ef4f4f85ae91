import { readFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { type Algorithm, hashSync } from '@node-rs/argon2'
import { Piscina } from 'piscina'
import type { Manners } from './password-hashing.ts'
import { COST, EXPIRED, type HashTask } from './password-task.ts'
import { createRests } from './rests.ts'
import { isPasswordOf } from './verify-password.ts'

const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, ...COST }

const { niceness, rests: times } = Piscina.workerData as Pick<Manners, 'niceness' | 'rests'>
const rests = createRests(times, waitedForCoreMs)
const nobody = new Int32Array(new SharedArrayBuffer(4))

// On Linux a priority is the thread's own; elsewhere it would be the whole server's.
if (process.platform === 'linux') setPriority(niceness)

// The sync calls, because the async ones would queue on libuv's pool, in front of the signatures.
export default function work(task: HashTask): string | boolean | typeof EXPIRED {
  // Nothing is begun that may not end in time. Otherwise a queue whose head is nearly over is rested and hashed to its end,
  // each for nothing, and never gets younger.
  if (Date.now() >= task.beginBy) return EXPIRED
  const restMs = rests.before(task.isCrowded)
  if (restMs >= 1) Atomics.wait(nobody, 0, 0, restMs)
  return rests.during(() => compute(task))
}

function compute({ password, verify }: HashTask): string | boolean {
  const normal = password.normalize('NFC')
  if (verify === undefined) return hashSync(normal, ARGON2ID)
  // Other systems hash a password as it was typed. Ours is never that of another form: the second look costs, whoever
  // asks and of whichever user, and changes nothing.
  return isPasswordOf(verify, normal) || (normal !== password && isPasswordOf(verify, password))
}

/** By the scheduler's account; nothing on a system that keeps none. */
function waitedForCoreMs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}
