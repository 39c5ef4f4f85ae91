import type { Client } from '../accounts/client.ts'
import type { User } from '../accounts/user.ts'
import type { AuditTrail } from '../audit/trail.ts'
import type { Family, Lockstep, RevocationReason, Sender } from '../tokens/family.ts'
import type { DamagedRecordError } from './sound-records.ts'

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
  readonly audit: AuditTrail
  readonly attempts: AttemptStore
  readonly networks: NetworkStore
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
  /** Resolves when every server knows. Takes a damaged record, too. @returns false when there was no such client. */
  delete(clientId: string): Promise<boolean>
  /** In no particular order. A damaged record is thrown of at the end, when all others were listed. */
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
  replaceHash(
    user: Required<Pick<User, 'sub' | 'passwordHash' | 'epoch'>>,
    passwordHash: string,
  ): Promise<boolean>
  /**
   * Replaces the named members.
   *
   * @param epoch where given, only while this is the user's.
   * @returns false when there is no such user.
   */
  change(sub: string, change: UserChange, epoch?: number): Promise<boolean>
  /**
   * Gives the user another name, and sets the one before free: the one in the record, and the one in `user`, which is
   * another where the user was renamed meanwhile or a renaming broke off. The networks known under them are forgotten.
   */
  rename(
    user: Pick<User, 'sub' | 'username'>,
    username: string,
  ): Promise<'renamed' | 'username_taken' | 'gone'>
  /** Ends every session of the user with the same write. @returns false when there was no such user. */
  delete(user: User): Promise<boolean>
  /**
   * Deletes the user of this name and ends every session of the user, without reading the record: for one that is
   * damaged. @returns false when there was no such user.
   */
  deleteUnread(username: string): Promise<boolean>
  /** In no particular order. A damaged record is thrown of at the end, when all others were listed. */
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
  /** How many sessions the user may have with this one; 0 or none for any number. Brief ones do not count. */
  readonly maxSessions?: number
  /** See {@link Family}: it ends no other session, nor is it ever ended for one. */
  readonly isBrief?: boolean
}

/** What became of a sign-in. */
export interface BegunFamily {
  readonly createdAt: number
  readonly endsAt: number
  /** The sessions that were ended for this one. */
  readonly ended: readonly string[]
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

/** What became of it, and what was there before. */
export interface Advance extends FamilyView {
  readonly applied: boolean
}

export interface FamilyStore {
  /**
   * Begins a family at generation 0, provided that the user's epoch is still `userEpoch`. Where the user would have more
   * than `maxSessions` that live, those that were not used for longest are ended with reason `cap`, by the same write.
   *
   * @returns the time of the sign-in, or `undefined` when the user was disabled, deleted, signed out everywhere or
   *   given another password meanwhile.
   */
  create(family: NewFamily): Promise<BegunFamily | undefined>

  /**
   * The compare-and-set: moves the family from generation `from` to `to` and its idle end to `idleMs` from now (at
   * most to its absolute end), provided that the family is there and not revoked, is at `from`, is this client's, and
   * that the epochs of its user and client are those of its beginning. One round trip.
   *
   * @param onDecided told the answer ahead of time, by a store that knows it before the move is kept. The caller may make
   *   ready what follows from it, but nobody else may learn of it until this resolves.
   * @returns whether it moved, and what was there *before*.
   */
  advance(request: AdvanceRequest, onDecided?: (answer: Advance) => void): Promise<Advance>

  /** What is there, nothing moved. */
  look(id: string): Promise<FamilyView>

  /** Counts a repeat that was answered with the same successor. Moves nothing else. */
  noteReplay(id: string, lockstep: Lockstep): Promise<void>

  /** Ends the family; its record stays as a tombstone. Resolves when that is durable. */
  revoke(id: string, reason: RevocationReason): Promise<'revoked' | 'already_revoked' | 'gone'>

  /**
   * Takes a family over from another store, as it stands there. One that is here already stays, where it was revoked or
   * is further on; so a copy can be made again, and does no harm to sessions that have gone on since.
   *
   * @returns whether it was taken.
   */
  adopt(family: Family): Promise<boolean>

  /**
   * The families of the user at this locator, revoked ones too, the most recently used first; at most `limit`.
   *
   * @param onDamage told of a record that is damaged; without it that is thrown, and nothing is listed.
   */
  listOfUser(
    locator: string,
    limit: number,
    onDamage?: (fault: DamagedRecordError) => void,
  ): Promise<Family[]>

  /**
   * About how many families there are, ended ones that are not cleared away yet included. Costs the same for one as for
   * a million. On Redis it is the number of keys that expire, hence too high by the counters of failed sign-ins and by what others keep there.
   */
  count(): Promise<number>

  /**
   * The families of the client, revoked ones too, in no particular order. Walks every family of the store. A damaged record
   * is thrown of at the end, when all others were listed.
   */
  listOfClient(clientId: string): AsyncIterable<FamilyView & { readonly family: Family }>
}

/** A budget that an attempt is charged to: so many failures of a counter within a window. */
export interface Charge {
  /** What the counters are kept for: those of one subject share a window, and are forgotten together. */
  readonly subject: string
  readonly counter: string
  readonly limit: number
  /**
   * The limit instead, where the counter of the charge at this place of the list has nothing in it: to be let through no
   * attempt that is pending either, to be refused for good no failure.
   */
  readonly newcomers?: { readonly limit: number; readonly emptyAt: number } | undefined
}

/** How attempts are counted, in milliseconds. */
export interface Counting {
  /** From a subject's first charge on; then all its counters are empty again. */
  readonly windowMs: number
  /** An attempt that is not settled within this time, because its server died, holds its budgets no longer. */
  readonly pendingMs: number
  /** Attempts of one batch are pending together, until `pendingMs` after the last of them; the first, unless named. */
  readonly batch?: Batch
}

/** A batch that comes round again must have been over before: so there are three. */
export const BATCHES = [0, 1, 2] as const
export type Batch = (typeof BATCHES)[number]

/** Why an attempt may not be made, and by which of its charges. */
export interface Refusal {
  readonly at: number
  /** `spent` by failures, or held by attempts of which it is not known yet: some of these may give back. */
  readonly state: 'spent' | 'pending'
  /** Until the window's end. */
  readonly retryAfterMs: number
}

/** Counts failed attempts, of whatever. Nothing here needs to be durable; everything ends by itself. */
export interface AttemptStore {
  /**
   * Takes one out of every budget, or out of none: before the attempt, so that those that come at once cannot be more
   * than the budget has. To be settled; what never is, is forgotten when its pending time is over. So nobody may be told
   * that an attempt failed before it is settled as that.
   *
   * @returns the refusal, `spent` before `pending`; `undefined` when the attempt may be made.
   */
  reserve(charges: readonly Charge[], counting: Counting): Promise<Refusal | undefined>
  /**
   * Says what became of an attempt, and that it is not pending any more: `failed` charges a failure, however late it is
   * said, `given_back` charges nothing. Said twice, either may let go of another attempt of the same batch before its
   * time, and of no failure; each `failed` is a failure more, so that it makes no room.
   *
   * @param counting as the attempt was reserved.
   */
  settle(
    charges: readonly Charge[],
    outcome: 'failed' | 'given_back',
    counting: Omit<Counting, 'pendingMs'>,
  ): Promise<void>
  /** Charges a failure that has happened, as far as there is room for it. @returns the refusal where there is none. */
  count(charge: Charge, windowMs: number): Promise<Refusal | undefined>
  /** Empties all counters of the subject, damaged ones too. @returns false when there was nothing in them. */
  forget(subject: string): Promise<boolean>
}

/** How much is remembered of the networks that a user signed in from. */
export interface Memory {
  readonly networks: number
  readonly ms: number
}

/** The networks from which a user name signed in well, as digests; the user need not be in this store. */
export interface NetworkStore {
  /** Whether one of the digests has been noted within `ms`. */
  isKnown(username: string, digests: readonly string[], ms: number): Promise<boolean>
  /** Remembers the digest; beyond the bounds of memory those that were noted longest ago are forgotten. */
  note(username: string, digest: string, memory: Memory): Promise<void>
}
