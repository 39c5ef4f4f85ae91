import { crc32 } from 'node:zlib'
import * as lmdb from 'lmdb'
import { asBinary, type Database, type Key, type RangeOptions } from 'lmdb'
import type { OwnsKey } from './pages.ts'

/*
 * What stands before each value in the file: the checksum of the database's name and the key, then that of the value. LMDB
 * would not notice if the disk gave something else back than was written, and a digit of a record that is another digit is
 * a record that we could have written.
 */
const SUM_BYTES = 4
const SUMS_BYTES = 2 * SUM_BYTES

// These are known to the library, unknown to its types.
interface Encoder {
  encode(value: unknown): Buffer
  decode(value: Buffer): unknown
}
const { keyValueToBuffer } = lmdb as unknown as { keyValueToBuffer(key: Key): Buffer }

const sumOfKey = (name: string, key: Buffer | string) => crc32(key, crc32(name))

/** A key as it is in the file. What can be printed is there as it is. */
const inFile = (key: Key) => (typeof key === 'string' && /^[!-~]+$/.test(key) ? key : keyValueToBuffer(key))

/** Whether a value that begins so was written under this key of this database. */
export const ownsKey: OwnsKey = (name, key, head) =>
  head.length >= SUMS_BYTES && head.readUInt32LE(0) === sumOfKey(name, key)

/** A database whose records are what was written under their keys, or an error. */
export class Records<Value, K extends Key> {
  readonly #name: string
  readonly #database: Database<Value, K>

  constructor(name: string, database: Database<Value, K>) {
    this.#name = name
    this.#database = database
  }

  /** @throws Error for a record that is not the one that was written. */
  get(key: K): Value | undefined {
    // Good until the next is read: what it is decoded to is no part of it.
    const sealed = this.#database.getBinaryFast(key)
    return sealed && this.#open(key, sealed)
  }

  put(key: K, value: Value): Promise<boolean> {
    return this.putRaw(key, this.#encoder.encode(value))
  }

  /** Writes a value that is in octets already. */
  putRaw(key: K, value: Buffer): Promise<boolean> {
    const sealed = Buffer.allocUnsafe(SUMS_BYTES + value.length)
    sealed.writeUInt32LE(sumOfKey(this.#name, inFile(key)), 0)
    sealed.writeUInt32LE(crc32(value), SUM_BYTES)
    sealed.set(value, SUMS_BYTES)
    return this.#database.put(key, asBinary(sealed) as Value)
  }

  remove(key: K): Promise<boolean> {
    return this.#database.remove(key)
  }

  doesExist(key: K): boolean {
    return this.#database.doesExist(key)
  }

  getKeys(range?: RangeOptions): Iterable<K> {
    return this.#database.getKeys(range)
  }

  /** @throws Error as `get` does, in the place of such a record. */
  *getRange(range?: RangeOptions): Iterable<{ key: K; value: Value }> {
    for (const key of this.#database.getKeys(range)) {
      const value = this.get(key)
      if (value !== undefined) yield { key, value }
    }
  }

  /** What is read from now on is what is there now. */
  resetReadTxn(): void {
    this.#database.resetReadTxn()
  }

  count(): number {
    return (this.#database.getStats() as { entryCount: number }).entryCount
  }

  get #encoder() {
    return (this.#database as unknown as { encoder: Encoder }).encoder
  }

  #open(key: K, sealed: Buffer): Value {
    const value = sealed.subarray(SUMS_BYTES)
    if (!ownsKey(this.#name, inFile(key), sealed) || sealed.readUInt32LE(SUM_BYTES) !== crc32(value))
      throw new Error('its checksum is wrong')
    return this.#encoder.decode(value) as Value
  }
}
