import { open, type RootDatabase } from 'lmdb'
import { Records } from '../../src/stores/lmdb/records.ts'
import type { Deployment } from '../support/deployment.ts'
import type { RedisServer } from '../support/redis.ts'

/** One way to damage one place of the store. */
export interface Damage {
  /** Where and how, for a failure to say. */
  readonly name: string
  /** Another record's value instead: what is written there could have been written by us. */
  readonly isSwap: boolean
  /** A member or a key that is gone: nobody can see that it was there. */
  readonly isLoss: boolean
  do(): Promise<unknown>
}

/** Finds what is in a store, whatever it is, and damages it. Knows nothing of what is meant to be where. */
export interface Vandal {
  /** Every damage that it knows to what is under the keys of these names. */
  damagesTo(isWanted: (name: string) => boolean): Promise<Damage[]>
  /** Takes down what is under these keys. @returns what puts it back, as often as wanted. */
  takeDown(isWanted: (name: string) => boolean): Promise<() => Promise<unknown>>
  close(): Promise<void>
}

export function vandalOf({ redis, dataDir }: Deployment): Vandal {
  return redis ? ofRedis(redis) : ofLmdb(dataDir)
}

/** What a text or some octets are turned into. */
function spoilt(value: Buffer): Map<string, Buffer> {
  const text = (name: string, content: string): [string, Buffer] => [name, Buffer.from(content)]
  const half = value.length >> 1
  const flips = [0, half, value.length - 1].filter((at, i, all) => at >= 0 && all.indexOf(at) === i)
  const flipped = flips.map((at): [string, Buffer] => {
    const other = Buffer.from(value)
    other[at] = (other[at] ?? 0) ^ 0x81
    return [`octet ${at} flipped`, other]
  })
  const ways: [string, Buffer][] = [
    text('empty', ''),
    text('garbage', 'garbage'),
    text('garbage with a line break', 'x\ny'),
    text('octets', '\u0000\u00ff'),
    text('-1', '-1'),
    text('huge', '9e300'),
    text('beyond what a number holds', '99999999999999999999'),
    text('NaN', 'NaN'),
    text('nan', 'nan'),
    text('a fraction', '0.5'),
    text('JSON null', 'null'),
    text('JSON true', 'true'),
    text('JSON text', '"x"'),
    text('JSON list', '["no such"]'),
    text('JSON object', '{"scope":"admin","sub":"x"}'),
    text('JSON cut off', '{"a":'),
    ['truncated by one', value.subarray(0, Math.max(0, value.length - 1))],
    ['truncated by half', value.subarray(0, half)],
    ['twice', Buffer.concat([value, value])],
    ...flipped,
  ]
  return new Map(ways.filter(([, other]) => !other.equals(value)))
}

function ofRedis(redis: RedisServer): Vandal {
  const client = redis.client()

  async function damagesToKey(key: string, others: readonly string[]): Promise<Damage[]> {
    const type = await client.type(key)
    const [dump, end] = [await client.dumpBuffer(key), await client.pexpiretime(key)]
    if (!dump) return []
    const damages: Damage[] = []
    const add = (how: string, action: () => Promise<unknown>, kind: Partial<Damage> = {}) =>
      damages.push({
        name: `${type} ${key}: ${how}`,
        isSwap: false,
        isLoss: false,
        ...kind,
        async do() {
          await action()
          // Written anew it would have no end, and outlive itself; a vandal would not do it a favour.
          if (end > 0) await client.pexpireat(key, end)
        },
      })

    for (const other of ['string', 'list', 'hash', 'set']) {
      if (other === type) continue
      add(`a ${other} instead`, async () => {
        await client.del(key)
        if (other === 'string') await client.set(key, 'x')
        else if (other === 'list') await client.rpush(key, 'x')
        else if (other === 'set') await client.sadd(key, 'x')
        else await client.hset(key, 'x', 'x')
      })
    }
    if (end > 0) {
      const name = `${type} ${key}: no end`
      damages.push({ name, isSwap: false, isLoss: false, do: () => client.persist(key) })
    }
    add('gone', () => client.del(key), { isLoss: true })
    for (const other of others) {
      if (other === key || (await client.type(other)) !== type) continue
      const content = await client.dumpBuffer(other)
      if (content)
        add(`what is at ${other}`, () => client.restore(key, '0', content, 'REPLACE'), { isSwap: true })
    }
    if (type === 'string') {
      const value = (await client.getBuffer(key)) ?? Buffer.alloc(0)
      for (const [how, other] of spoilt(value)) add(how, () => client.set(key, other))
    }
    if (type === 'zset') {
      add('a member that is none', () => client.zadd(key, String(Number.MAX_SAFE_INTEGER), 'garbage'))
      for (const member of await client.zrange(key, '0', '4')) {
        add(`${member} first`, () => client.zadd(key, 'XX', '1', member))
        add(`${member} gone`, () => client.zrem(key, member), { isLoss: true })
      }
    }
    if (type === 'hash') {
      for (const field of await client.hkeys(key)) {
        const value = (await client.hgetBuffer(key, field)) ?? Buffer.alloc(0)
        add(`${field} gone`, () => client.hdel(key, field), { isLoss: true })
        for (const [how, other] of spoilt(value)) add(`${field} ${how}`, () => client.hset(key, field, other))
        for (const other of others) {
          if (other === key || (await client.type(other)) !== 'hash') continue
          const swapped = await client.hgetBuffer(other, field)
          if (!swapped || swapped.equals(value)) continue
          add(`${field} that of ${other}`, () => client.hset(key, field, swapped), { isSwap: true })
        }
      }
    }
    return damages
  }

  return {
    async damagesTo(isWanted) {
      const keys = (await client.keys('*')).sort().filter(isWanted)
      const damages: Damage[] = []
      for (const key of keys) damages.push(...(await damagesToKey(key, keys)))
      return damages
    },
    async takeDown(isWanted) {
      const taken: [key: string, end: number, content: Buffer][] = []
      for (const key of (await client.keys('*')).filter(isWanted)) {
        const content = await client.dumpBuffer(key)
        if (content) taken.push([key, await client.pexpiretime(key), content])
      }
      return () => {
        const pipeline = client.pipeline()
        for (const [key, end, content] of taken)
          pipeline.restore(key, String(Math.max(0, end)), content, 'REPLACE', 'ABSTTL')
        return pipeline.exec()
      }
    },
    async close() {
      client.disconnect()
    },
  }
}

/** What one member of a record is turned into; deeper ones are a value like any other. */
const VALUES: readonly (readonly [string, unknown])[] = [
  ['empty', ''],
  ['garbage', 'garbage'],
  ['-1', -1],
  ['huge', 9e300],
  ['NaN', Number.NaN],
  ['infinite', Number.POSITIVE_INFINITY],
  ['a fraction', 0.5],
  ['null', null],
  ['true', true],
  ['a list', ['no such']],
  ['a list of no texts', [1, null, {}]],
  ['an object', { scope: 'admin', sub: 'x' }],
  ['a number in a text', '5'],
]

function ofLmdb(dataDir: string): Vandal {
  const root: RootDatabase = open({ path: dataDir, noSubdir: false, maxDbs: 32, overlappingSync: false })

  function damagesToDatabase(name: string, isWanted: (name: string) => boolean): Damage[] {
    const database = new Records(name, root.openDB<unknown, string>({ name }))
    const raw = root.openDB<Buffer, string>({ name, encoding: 'binary' })
    const entries = [...raw.getRange()]
      .map(({ key, value }) => ({ key, octets: Buffer.from(value) }))
      .filter(({ key }) => isWanted(`${name} ${key}`))
    return entries.flatMap(({ key, octets }) => {
      const damages: Damage[] = []
      const add = (how: string, action: () => Promise<unknown>, kind: Partial<Damage> = {}) =>
        damages.push({
          name: `${name} ${key}: ${how}`,
          isSwap: false,
          isLoss: false,
          ...kind,
          do: action,
        })
      const others = entries.filter((other) => other.key !== key)
      add('gone', () => raw.remove(key), { isLoss: true })
      for (const [how, other] of spoilt(octets)) {
        add(`${how}, by the disk`, () => raw.put(key, other))
        // As a hand would that knows of checksums.
        add(how, () => database.putRaw(key, other))
      }
      for (const [how, value] of VALUES) add(how, () => database.put(key, value))
      for (const other of others)
        add(`what is at ${other.key}`, () => raw.put(key, other.octets), { isSwap: true })

      const record = decoded(() => database.get(key))
      for (const [path, value] of membersOf(record)) {
        add(`${path.join('.')} gone`, () => database.put(key, changed(record, path)), { isLoss: true })
        for (const [how, spoiltValue] of VALUES) {
          if (Object.is(spoiltValue, value)) continue
          add(`${path.join('.')} ${how}`, () => database.put(key, changed(record, path, spoiltValue)))
        }
        for (const other of others) {
          const theirs = membersOf(decoded(() => database.get(other.key))).find(
            ([at]) => at.join('.') === path.join('.'),
          )
          if (!theirs || JSON.stringify(theirs[1]) === JSON.stringify(value)) continue
          add(
            `${path.join('.')} that of ${other.key}`,
            () => database.put(key, changed(record, path, theirs[1])),
            {
              isSwap: true,
            },
          )
        }
      }
      return damages
    })
  }

  return {
    async damagesTo(isWanted) {
      return [...root.getKeys()].flatMap((name) => damagesToDatabase(String(name), isWanted))
    },
    async takeDown(isWanted) {
      const taken = [...root.getKeys()].flatMap((name) => {
        const raw = root.openDB<Buffer, string>({ name: String(name), encoding: 'binary' })
        return [...raw.getRange()]
          .filter(({ key }) => isWanted(`${String(name)} ${key}`))
          .map(({ key, value }) => ({ raw, key, octets: Buffer.from(value) }))
      })
      return () =>
        root.transaction(() => {
          for (const { raw, key, octets } of taken) void raw.put(key, octets)
        })
    },
    close: () => root.close(),
  }
}

function decoded(read: () => unknown): unknown {
  try {
    return read()
  } catch {
    return undefined
  }
}

type Path = readonly [string] | readonly [string, string]

/** The members of a record, and the members of these. */
function membersOf(record: unknown): [Path, unknown][] {
  if (!isRecord(record)) return []
  return Object.entries(record).flatMap(([name, value]): [Path, unknown][] => [
    [[name], value],
    ...(isRecord(value)
      ? Object.entries(value).map(([inner, one]): [Path, unknown] => [[name, inner], one])
      : []),
  ])
}

/** The record with this member changed, or without it. */
function changed(record: unknown, [name, inner]: Path, ...value: unknown[]): unknown {
  if (!isRecord(record)) return record
  const member = inner === undefined ? value : [changed(record[name], [inner], ...value)]
  const { [name]: _, ...rest } = record
  return member.length === 0 ? rest : { ...rest, [name]: member[0] }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
}
