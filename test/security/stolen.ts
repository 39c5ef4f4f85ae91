import { createHash, createHmac } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { type RefreshSecretRing, refreshMacKey } from '../../src/tokens/refresh-token.ts'
import type { Deployment } from '../support/deployment.ts'
import type { RedisServer } from '../support/redis.ts'

/** Everything that is in the store, in every form that a thief can have it in: its files, its keys, its values. */
export async function stealStore({ redis, dataDir }: Deployment): Promise<Buffer[]> {
  return redis ? stealRedis(redis) : stealLmdb(dataDir)
}

async function stealRedis(redis: RedisServer): Promise<Buffer[]> {
  const client = redis.client()
  try {
    await client.save()
    const stolen: Buffer[] = [readFileSync(join(redis.dir, 'dump.rdb'))]
    for (const key of await client.keysBuffer('*')) {
      stolen.push(key, ...flat(await client.callBuffer(...readingOf(await client.type(key)), key)))
    }
    return stolen
  } finally {
    client.disconnect()
  }
}

/** The command that reads a key of this type as a whole; the key comes after it. */
function readingOf(type: string): [string, ...string[]] {
  const commands: Readonly<Record<string, string>> = { string: 'GET', hash: 'HGETALL', set: 'SMEMBERS' }
  // Whatever else there may be is in the dump all the same.
  return [commands[type] ?? 'DUMP']
}

function flat(reply: unknown): Buffer[] {
  if (Buffer.isBuffer(reply)) return [reply]
  return Array.isArray(reply) ? reply.flatMap(flat) : []
}

async function stealLmdb(dataDir: string): Promise<Buffer[]> {
  const stolen: Buffer[] = [readFileSync(join(dataDir, 'data.mdb'))]
  const root: RootDatabase = open({ path: dataDir, noSubdir: false, maxDbs: 32, readOnly: true })
  for (const name of [...root.getKeys()]) {
    const database = root.openDB<Buffer, string>({ name: String(name), encoding: 'binary' })
    for (const { key, value } of database.getRange())
      stolen.push(Buffer.from(String(key)), Buffer.from(value))
  }
  await root.close()
  return stolen
}

/** Every file of KEYS_DIR. */
export function stealKeys({ env }: Deployment): Map<string, Buffer> {
  const folder = env.KEYS_DIR ?? ''
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  return new Map(
    files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name))]),
  )
}

/** What a thief of KEYS_DIR verifies and makes refresh tokens with, as the server does. */
export function ringOf(
  keys: ReadonlyMap<string, Buffer>,
): RefreshSecretRing & { readonly secrets: Buffer[] } {
  const files = [...keys].filter(([path]) => path.endsWith('.key'))
  const secrets = files.map(([, text]) => Buffer.from(text.toString().trim(), 'base64url'))
  const ids = files.map(([path]) => /([0-9a-f]{8})\.key$/.exec(path)?.[1] ?? '')
  const macKeys = new Map(ids.map((id, i) => [id, refreshMacKey(secrets[i] ?? Buffer.alloc(0))]))
  return { activeId: ids[0] ?? '', macKeys, secrets }
}

/** The texts in what was stolen: all that is printable and of some length, whole and word by word. */
export function textsIn(stolen: readonly Buffer[]): string[] {
  const texts = stolen.flatMap((octets) => octets.toString('latin1').match(/[\x20-\x7e]{4,}/g) ?? [])
  return [...new Set(texts.flatMap((text) => [text, ...(text.match(/[A-Za-z0-9_+/=-]{4,}/g) ?? [])]))]
}

/** The same octets as they are, and as what they may be a spelling of. */
export function readings(stolen: readonly Buffer[]): Buffer[] {
  const texts = textsIn(stolen).flatMap((text) => text.match(/[A-Za-z0-9_+/-]{12,}/g) ?? [])
  const decoded = texts.flatMap((text) => [
    // What it is a spelling of may begin anywhere in it.
    ...[0, 1, 2, 3].map((at) => Buffer.from(text.slice(at), 'base64url')),
    ...[0, 1].map((at) => Buffer.from(text.slice(at), 'hex')),
  ])
  return [...stolen, ...decoded]
}

/** What can be computed from one stolen thing and another by the means that the server itself has. */
export function derivations(secrets: readonly Buffer[], data: readonly Buffer[]): Buffer[] {
  const keys = [...secrets, ...secrets.filter((secret) => secret.length > 0).map(refreshMacKey)]
  return [...keys, Buffer.alloc(32)].flatMap((key) =>
    data.flatMap((text) => [
      createHmac('sha256', key).update(text).digest(),
      createHmac('sha256', text).update(key).digest(),
      createHash('sha256').update(key).update(text).digest(),
      createHash('sha256').update(text).update(key).digest(),
    ]),
  )
}

/** Every run of so many octets, each once. */
export function windowsOf(material: readonly Buffer[], length: number): Set<string> {
  const windows = new Set<string>()
  for (const octets of material) {
    const text = octets.toString('latin1')
    for (let at = 0; at + length <= text.length; at += 1) windows.add(text.slice(at, at + length))
  }
  return windows
}
