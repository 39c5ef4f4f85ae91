import type { Client } from '../accounts/client.ts'
import type { User } from '../accounts/user.ts'
import type { Family, Lockstep, RevocationReason, Sender } from '../tokens/family.ts'

/**
 * What the server asks of a store: the verbs of its own domain, no connection and no transaction.
 *
 * Every verb is atomic and is seen at once by every server on the same store. A verb that signs in, revokes or changes
 * an account resolves only when that is durable, as far as the store promises it (docs/storage.md). All times are
 * milliseconds since 1970 by the store's clock.
 *
 * Every verb throws `UnavailableError` when the store does not answer within a second; what it then did or did not do
 * is unknown, and asking again is safe.
 */
export interface Store {
  readonly clients: ClientStore
  readonly users: UserStore
  readonly families: FamilyStore
  /** Resolves when the store answers. */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface ClientStore {
  /**
   * What this server may still go by of the client, without asking the store; `undefined` says nothing. It never is
   * what a change that has resolved did away with.
   */
  recall(clientId: string): Client | undefined
  find(clientId: string): Promise<Client | undefined>
  /** @returns false when the identifier is taken. */
  create(client: Client): Promise<boolean>
  /** Replaces the named members; resolves when every server goes by them. @returns false when there is no such client. */
  change(clientId: string, change: ClientChange): Promise<boolean>
  /** Resolves when every server knows. @returns false when there was no such client. */
  delete(clientId: string): Promise<boolean>
  /** In no particular order. */
  list(): AsyncIterable<Client>
}

export type ClientChange = Partial<Omit<Client, 'clientId' | 'createdAt'>>

export interface UserStore {
  /** Takes as many round trips for a name that nobody has. */
  findByUsername(username: string): Promise<User | undefined>
  find(sub: string): Promise<User | undefined>
  create(user: User): Promise<UserCreation>
  /**
   * Does as `create` for each, but many in a round trip or a flush: of users with one name or one `sub` the first gets
   * it. Not atomic as a whole: when it throws, some may have been created.
   *
   * @returns an answer for each, in their order.
   */
  createMany(users: readonly User[]): Promise<UserCreation[]>
  /**
   * Replaces the hash of a password that has not changed, provided that hash and epoch are still those of `user`. No
   * session ends by it.
   *
   * @returns whether it was replaced.
   */
  replaceHash(user: Pick<User, 'sub' | 'passwordHash' | 'epoch'>, passwordHash: string): Promise<boolean>
  /** Replaces the named members. @returns false when there is no such user. */
  change(sub: string, change: UserChange): Promise<boolean>
  /** Ends every session of the user with the same write. @returns false when there was no such user. */
  delete(user: User): Promise<boolean>
  /** In no particular order. */
  list(): AsyncIterable<User>
}

export type UserCreation = 'created' | 'username_taken' | 'sub_taken'

export type UserChange = Partial<Pick<User, 'passwordHash' | 'disabled' | 'epoch' | 'claims'>>

/** What a sign-in writes. */
export interface NewFamily {
  readonly id: string
  readonly clientId: string
  readonly clientEpoch: number
  /** The user's epoch when the password was checked. */
  readonly userEpoch: number
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  readonly sender: Sender
  readonly idleMs: number
  readonly maxMs: number
}

/** A family and its user as the store holds them at one moment. */
export interface FamilyView {
  readonly now: number
  readonly family: Family | undefined
  readonly user: Pick<User, 'sub' | 'epoch' | 'claims'> | undefined
}

/** One turn of the ratchet, asked for as a compare-and-set. */
export interface AdvanceRequest {
  readonly id: string
  readonly from: number
  readonly to: number
  readonly clientId: string
  readonly clientEpoch: number
  readonly sender: Sender
  readonly idleMs: number
}

export interface FamilyStore {
  /**
   * Begins a family at generation 0, provided that the user's epoch is still `userEpoch`.
   *
   * @returns the time of the sign-in, or `undefined` when the user was disabled, deleted, signed out everywhere or
   *   given another password meanwhile.
   */
  create(family: NewFamily): Promise<{ readonly createdAt: number; readonly endsAt: number } | undefined>

  /**
   * The compare-and-set: moves the family from generation `from` to `to` and its idle end to `idleMs` from now (at
   * most to its absolute end), provided that the family is there and not revoked, is at `from`, is this client's, and
   * that the epochs of its user and client are those of its beginning. One round trip.
   *
   * @returns whether it moved, and what was there *before*.
   */
  advance(request: AdvanceRequest): Promise<FamilyView & { readonly applied: boolean }>

  /** What is there, nothing moved. */
  look(id: string): Promise<FamilyView>

  /** Counts a repeat that was answered with the same successor. Moves nothing else. */
  noteReplay(id: string, lockstep: Lockstep): Promise<void>

  /** Ends the family; its record stays as a tombstone. Resolves when that is durable. */
  revoke(id: string, reason: RevocationReason): Promise<'revoked' | 'already_revoked' | 'gone'>

  /** The families of the user at this locator, revoked ones too, the most recently used first; at most `limit`. */
  listOfUser(locator: string, limit: number): Promise<Family[]>
}
