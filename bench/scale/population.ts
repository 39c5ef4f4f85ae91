import { setTimeout as sleep } from 'node:timers/promises'
import { newEpoch, newSub, type User, userLocator } from '../../src/accounts/user.ts'
import { loadKeys } from '../../src/keys/key-files.ts'
import { UnavailableError } from '../../src/oauth/errors.ts'
import type { Store } from '../../src/stores/contract.ts'
import { familyIdOf, mintRefreshToken, newHandle } from '../../src/tokens/refresh-token.ts'
import { CLIENT, familyOf, IDLE_MS, SENDER } from '../registration.ts'

const AT_ONCE = 250
/** A busy machine may keep a store from answering within its second. */
const TRIES = 5
export const SESSIONS_PER_USER = 10
/** As a server that is not told otherwise has it. */
const MAX_SESSIONS = 100

/** A session as its client knows it. */
export interface Session {
  readonly user: User
  readonly handle: Buffer
  generation: number
}

/** A session of this user that is in no store yet. */
export function newSession(user: User): Session {
  return { user, handle: newHandle(userLocator(user.sub)), generation: 0 }
}

/** One step of the ratchet, asked of the store itself. */
export async function advance(store: Store, session: Session): Promise<void> {
  const { generation, handle } = session
  const { applied } = await store.families.advance({
    id: familyIdOf(handle),
    from: generation,
    to: generation + 1,
    clientId: CLIENT.clientId,
    clientEpoch: CLIENT.epoch,
    sender: SENDER,
    idleMs: IDLE_MS,
  })
  if (!applied) throw new Error('a family did not move')
  session.generation += 1
}

export async function signIn(store: Store, { user, handle }: Session): Promise<void> {
  const begun = await store.families.create({ ...familyOf(user, handle), maxSessions: MAX_SESSIONS })
  if (!begun) throw new Error('a family could not be created')
}

/**
 * Begins so many sessions of new users, in random order as to whose, through the store's own verbs. Passwords and
 * their hashes are left out: what is asked here is how the store grows.
 *
 * @param keep how many of the sessions are given back, evenly out of all.
 */
export async function populate(store: Store, sessions: number, keep: number): Promise<Session[]> {
  const users = Array.from({ length: Math.ceil(sessions / SESSIONS_PER_USER) }, newUser)
  for (let at = 0; at < users.length; at += AT_ONCE)
    await patiently(() => store.users.createMany(users.slice(at, at + AT_ONCE)))
  const kept: Session[] = []
  for (let begun = 0; begun < sessions; begun += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, sessions - begun) }, (_, i) =>
      newSession(users[(begun + i) % users.length]!),
    )
    await Promise.all(batch.map((session) => patiently(() => signIn(store, session))))
    const due = Math.round(((begun + batch.length) / sessions) * Math.min(keep, sessions))
    kept.push(...batch.slice(0, due - kept.length))
    // Lets Redis's answers be collected, and whoever else shares the machine have a turn.
    await sleep(0)
  }
  return kept
}

/** The refresh tokens that the clients of these sessions hold, made with the secret of this KEYS_DIR. */
export async function tokensOf(sessions: readonly Session[], keysDir: string): Promise<string[]> {
  const { refresh } = await loadKeys(keysDir)
  return sessions.map(({ handle, generation }) => mintRefreshToken(refresh, { handle, generation }))
}

/** Asking the store again is safe, whatever became of the first time. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnavailableError) || attempt === TRIES) throw error
    }
  }
}

/** As long as a true one; nobody signs in by it. */
const PASSWORD_HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`

export function newUser(): User {
  const sub = newSub()
  return {
    sub,
    username: `${sub}@example.com`,
    passwordHash: PASSWORD_HASH,
    disabled: false,
    claims: {},
    epoch: newEpoch(),
    createdAt: Date.now(),
  }
}
