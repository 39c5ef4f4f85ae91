import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { startRedis } from '../test/support/redis.ts'
import { runHere } from '../test/support/run-here.ts'
import { importRows } from './import-rows.ts'

/*
 * How fast `pawl user import` is on both stores: docs/benchmarks/user-import.md.
 */
const { values } = parseArgs({ options: { users: { type: 'string', default: '100000' } } })
const users = Number(values.users)

const folder = await mkdtemp(join(tmpdir(), 'pawl-import-'))
const file = join(folder, 'users.ndjson')
await pipeline(Readable.from(importRows(users)), createWriteStream(file))
const redis = await startRedis({ aof: 'everysec' })

/** Processor seconds of Redis so far, user and system. */
async function redisSeconds(): Promise<number> {
  const info = String(await redis.cli('INFO', 'cpu'))
  const of = (name: string) => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1])
  return of('used_cpu_user') + of('used_cpu_sys')
}

async function measure(store: string, what: string, url: string): Promise<void> {
  const before = await redisSeconds()
  const cpuBefore = process.cpuUsage()
  const { code, stdout, stderr } = await runHere(['user', 'import', file, '--json'], { STORE_URL: url })
  const { user, system } = process.cpuUsage(cpuBefore)
  if (code !== 0) throw new Error(stderr)
  const { rows, seconds } = JSON.parse(stdout)
  const ours = (user + system) / 1e6
  const ofRedis = store === 'Redis' ? `, Redis ${((await redisSeconds()) - before).toFixed(1)} s` : ''
  console.log(
    `${store}, ${what}: ${rows} rows in ${seconds} s, ${Math.round(rows / seconds)} rows/s; ` +
      `processor: import ${ours.toFixed(1)} s${ofRedis}; load ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
  )
}

try {
  for (const [store, url] of [
    ['LMDB', `lmdb:${join(folder, 'data')}`],
    ['Redis', redis.url],
  ] as const) {
    await measure(store, 'new', url)
    await measure(store, 'again', url)
  }
} finally {
  await redis.stop()
  await rm(folder, { recursive: true })
}
