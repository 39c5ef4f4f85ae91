import { setPriority } from 'node:os'
import { type Algorithm, hashSync, verifySync } from '@node-rs/argon2'
import { Piscina } from 'piscina'
import { COST, EXPIRED, type HashTask } from './password-task.ts'

const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, ...COST }

// On Linux a priority is the thread's own; elsewhere it would be the whole server's.
if (process.platform === 'linux') setPriority((Piscina.workerData as { niceness: number }).niceness)

// The sync calls, because the async ones would queue on libuv's pool, in front of the signatures.
export default function work(task: HashTask): string | boolean | typeof EXPIRED {
  if (Date.now() >= task.deadline) return EXPIRED
  if (task.verify === undefined) return hashSync(task.password, ARGON2ID)
  try {
    return verifySync(task.verify, task.password)
  } catch {
    return false
  }
}
