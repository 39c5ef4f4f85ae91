import { setPriority } from 'node:os'
import { type Algorithm, hashSync } from '@node-rs/argon2'
import { Piscina } from 'piscina'
import { COST, EXPIRED, type HashTask } from './password-task.ts'
import { isPasswordOf } from './verify-password.ts'

const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, ...COST }

// On Linux a priority is the thread's own; elsewhere it would be the whole server's.
if (process.platform === 'linux') setPriority((Piscina.workerData as { niceness: number }).niceness)

// The sync calls, because the async ones would queue on libuv's pool, in front of the signatures.
export default function work({ deadline, password, verify }: HashTask): string | boolean | typeof EXPIRED {
  if (Date.now() >= deadline) return EXPIRED
  const normal = password.normalize('NFC')
  if (verify === undefined) return hashSync(normal, ARGON2ID)
  // Other systems hash a password as it was typed. Ours is never that of another form: the second look costs, whoever
  // asks and of whichever user, and changes nothing.
  return isPasswordOf(verify, normal) || (normal !== password && isPasswordOf(verify, password))
}
