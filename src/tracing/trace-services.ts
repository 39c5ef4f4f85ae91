import type { PasswordHashing } from '../accounts/password-hashing.ts'
import { aroundStore } from '../stores/around-store.ts'
import type { Store } from '../stores/contract.ts'
import type { Sign } from '../tokens/signing-key.ts'
import type { Tracing } from './tracing.ts'

/** The same store, each question to it a span. @param system `redis` or `lmdb`. */
export function traceStore(store: Store, system: string, tracing: Tracing): Store {
  return aroundStore(store, (verb, question) =>
    tracing.step(verb, { 'db.system.name': system, 'db.operation.name': verb }, question),
  )
}

/** The same hashing, each hash a span, its waiting for a thread included. */
export function traceHashing(hashing: PasswordHashing, tracing: Tracing): PasswordHashing {
  return {
    ...hashing,
    hash: (password) => tracing.step('password.hash', {}, () => hashing.hash(password)),
    verify: (password, passwordHash) =>
      tracing.step('password.verify', {}, () => hashing.verify(password, passwordHash)),
  }
}

/** The same signing, each signature a span. */
export function traceSigning(sign: Sign, tracing: Tracing): Sign {
  return (key, input) =>
    tracing.step('access_token.sign', { 'pawl.kid': key.kid }, async () => sign(key, input))
}
