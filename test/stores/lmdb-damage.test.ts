import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import t, { type Test } from 'tap'
import type { AuditRecord } from '../../src/audit/event.ts'
import { readPage } from '../../src/stores/lmdb/pages.ts'
import { ownsKey, type Records } from '../../src/stores/lmdb/records.ts'
import { NAMES, openDatabases, openLmdbStore } from '../../src/stores/lmdb/store.ts'
import { requireSoundPages, requireStoreFile, StoreFileError } from '../../src/stores/lmdb/store-file.ts'
import { pageSizeOf } from '../faults/page-damage.ts'
import { Random } from '../fuzz/random.ts'
import { nextMessage } from '../support/next-message.ts'
import { runCli } from '../support/processes.ts'
import { someUser } from './records.ts'

const SIGN_IN = fileURLToPath(new URL('./sign-in.js', import.meta.url))
const BUSY_WRITER = fileURLToPath(new URL('./busy-writer.js', import.meta.url))
/** Transactions of anything. */
const ROUNDS = 300
const SEED = Number(process.env.SEED ?? Date.now())
/** Openings beside a writer. */
const LOOKS = 5
const META = { magic: 24, free: 48, main: 96, lastPage: 144 }

/** Nobody writes meanwhile. */
function requireWhole(path: string): void {
  requireStoreFile(path)
  requireSoundPages(path, new Set(NAMES), ownsKey)
}

/** A store with some hundred pages, and the size of these. */
async function someFile(t: Test): Promise<{ path: string; pageSize: number; pages: number }> {
  const folder = join(t.testdir(), 'data')
  const store = openLmdbStore(folder, false)
  const passwordHash = 'x'.repeat(10_000)
  await store.users.createMany(
    Array.from({ length: 300 }, (_, i) => someUser(i % 10 ? {} : { passwordHash })),
  )
  await store.close()
  const path = join(folder, 'data.mdb')
  const pageSize = pageSizeOf(readFileSync(path))
  return { path, pageSize, pages: statSync(path).size / pageSize }
}

/** A copy in a folder of its own. */
function copyOf(path: string, name: string): string {
  const copy = join(dirname(dirname(path)), name, 'data.mdb')
  mkdirSync(dirname(copy))
  copyFileSync(path, copy)
  return copy
}

/** Exchanges a number in both meta pages. */
function patch(path: string, pageSize: number, at: number, change: (before: bigint) => bigint): void {
  const file = openSync(path, 'r+')
  const number = Buffer.alloc(8)
  for (const page of [0, 1]) {
    readSync(file, number, 0, 8, page * pageSize + at)
    number.writeBigUInt64LE(change(number.readBigUInt64LE()))
    writeSync(file, number, 0, 8, page * pageSize + at)
  }
  closeSync(file)
}

t.test('a file that is cut short is refused, wherever it is cut', async (t) => {
  const { path, pageSize, pages } = await someFile(t)
  t.doesNotThrow(() => requireWhole(path), 'as it was')
  t.ok(pages > 100, `${pages} pages`)
  const cut = copyOf(path, 'cut')
  for (let left = pages - 0.5; left > 0; left -= left > pages - 5 ? 0.5 : pages / 20) {
    truncateSync(cut, Math.floor(left * pageSize))
    t.throws(
      () => openLmdbStore(dirname(cut)),
      new StoreFileError(),
      `${left.toFixed(1)} of ${pages} pages are left`,
    )
  }
})

t.test('a server says so, and does not crash', async (t) => {
  const { path, pageSize, pages } = await someFile(t)
  truncateSync(path, Math.floor(pages / 2) * pageSize)
  const child = fork(SIGN_IN, [`lmdb:${dirname(path)}`], { execArgv: [], stdio: 'pipe' })
  const [stderr, [code, signal]] = await Promise.all([text(child.stderr as Readable), once(child, 'exit')])
  t.strictSame({ code, signal }, { code: 1, signal: null })
  t.match(
    stderr,
    `${path} is damaged: pages that are in use are missing at its end. Put it back from a backup`,
  )
})

t.test('a store from before the checksums is refused, and may be taken for what it is', async (t) => {
  const folder = t.testdir()
  const root = open({ path: folder, noSubdir: false, maxDbs: 16, overlappingSync: false })
  await root.openDB<unknown, string>({ name: 'users' }).put('locator', someUser())
  await root.close()
  t.throws(() => openLmdbStore(folder), {
    message: 'or a Pawl from before there were checksums wrote it (docs/decisions/0020)',
  })
})

t.test('a file may be shorter than it says, by pages that nothing is on', async (t) => {
  const { path, pageSize } = await someFile(t)
  patch(path, pageSize, META.lastPage, (page) => page + 7n)
  const store = openLmdbStore(dirname(path))
  let users = 0
  for await (const _ of store.users.list()) users += 1
  t.equal(users, 300)
  t.equal(await store.users.create(someUser()), 'created')
  await store.close()
  t.doesNotThrow(() => requireWhole(path), 'nor when it has grown')
})

t.test('a file that names pages it has not, or is none of LMDB', async (t) => {
  const { path, pageSize, pages } = await someFile(t)
  const torn = copyOf(path, 'torn')
  truncateSync(torn, (pages - 1) * pageSize)
  // As long as it says, but what was at its end is no page any more.
  patch(torn, pageSize, META.lastPage, () => BigInt(pages))
  t.throws(() => requireWhole(torn), new StoreFileError())
  const stranger = copyOf(path, 'stranger')
  patch(stranger, pageSize, META.magic, (magic) => magic + 1n)
  t.throws(() => requireWhole(stranger), { message: 'no LMDB file' })
  const empty = copyOf(path, 'empty')
  truncateSync(empty, 0)
  t.throws(() => openLmdbStore(dirname(empty)), { message: `${empty} is empty, and there was a store.` })
  t.equal(statSync(empty).size, 0, 'nothing is begun in its place')
  const missing = copyOf(path, 'missing')
  copyFileSync(join(dirname(path), 'lock.mdb'), join(dirname(missing), 'lock.mdb'))
  rmSync(missing)
  t.throws(() => openLmdbStore(dirname(missing)), {
    message: `${missing} is missing, and there was a store.`,
  })
})

t.test('a file in which a list of pages or of databases has other flags', async (t) => {
  const { path, pageSize } = await someFile(t)
  for (const list of [META.free, META.main])
    for (let flag = 0; flag < 16; flag += 1) {
      const other = copyOf(path, `flag-${list}-${flag}`)
      // The flags stand in the upper half of the list's first eight octets.
      patch(other, pageSize, list, (before) => before ^ (1n << BigInt(32 + flag)))
      t.throws(() => openLmdbStore(dirname(other)), new StoreFileError(), `flag ${flag}`)
    }
})

t.test('what the disk cannot read is said, with its page', async (t) => {
  const { path } = await someFile(t)
  // The nearest to a bad sector that needs no privileges: it is opened, and cannot be read.
  const unreadable = join(dirname(dirname(path)), 'unreadable', 'data.mdb')
  mkdirSync(unreadable, { recursive: true })
  t.throws(() => openLmdbStore(dirname(unreadable)), {
    message: `${unreadable} is damaged: page 0 cannot be read (EISDIR). Put it back from a backup`,
  })
  const file = openSync(path, 'r')
  t.equal(readPage(file, 0, Buffer.alloc(100), statSync(path).size - 100), true)
  t.equal(
    readPage(file, 0, Buffer.alloc(100), statSync(path).size - 99),
    false,
    'what is not there is not read',
  )
  closeSync(file)
})

t.test(`whatever LMDB has written is sound, seed ${SEED}`, async (t) => {
  const folder = t.testdir()
  const root = open({ path: folder, noSubdir: false, maxDbs: 16, overlappingSync: false })
  t.teardown(() => root.close())
  const { audit, ...others } = openDatabases(root)
  const databases = Object.values(others) as unknown as Records<string, string>[]
  const random = new Random(SEED)
  const key = () => random.below(5000).toString(36) + 'x'.repeat(random.once(10) ? random.below(400) : 0)
  const value = () => 'v'.repeat(random.below(random.once(20) ? 30_000 : 600))
  let reading = root.useReadTransaction()
  let last = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const isGrowing = round % 100 < 60
    await root.transaction(() => {
      for (let acts = random.below(random.once(10) ? 1000 : 30); acts > 0; acts -= 1) {
        const database = random.oneOf(databases)
        if (random.below(10) < (isGrowing ? 8 : 2)) void database.put(key(), value())
        else
          for (const found of [...database.getKeys({ start: key(), limit: 3 })]) void database.remove(found)
      }
      last += 1
      void audit.put(last, {} as AuditRecord)
      for (const old of [...audit.getKeys({ end: last - 50 })]) void audit.remove(old)
    })
    // Meanwhile what is freed is not used anew.
    if (random.once(20)) {
      reading.done()
      root.resetReadTxn()
      reading = root.useReadTransaction()
    }
    requireWhole(join(folder, 'data.mdb'))
  }
  reading.done()
  t.pass(`${ROUNDS} transactions`)
})

t.test('what others write meanwhile does not look like damage', async (t) => {
  const folder = join(t.testdir(), 'data')
  const writer = spawn(process.execPath, [BUSY_WRITER, `lmdb:${folder}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => writer.kill('SIGKILL'))
  await once(writer.stdout.resume(), 'data')
  for (let look = 0; look < LOOKS; look += 1) {
    const child = fork(SIGN_IN, [`lmdb:${folder}`], { execArgv: [] })
    t.teardown(() => child.kill('SIGKILL'))
    t.ok(await nextMessage(child), 'it is opened, and signs in')
    child.kill('SIGKILL')
  }
  t.equal(writer.exitCode, null, 'it wrote all the time')
})

t.test('the doctor names a page that is damaged, and leaves it as it is', async (t) => {
  const { path, pageSize, pages } = await someFile(t)
  const file = readFileSync(path)
  // The last page that is a leaf.
  const isLeaf = (page: number) => file.readUInt16LE(page * pageSize + 18) === 2
  const page = Array.from({ length: pages }, (_, i) => pages - 1 - i).find(isLeaf)!
  file.fill(0, page * pageSize, (page + 1) * pageSize)
  writeFileSync(path, file)
  const env = { STORE_URL: `lmdb:${dirname(path)}`, KEYS_DIR: join(dirname(path), 'keys') }
  const { code, stdout } = await runCli(['doctor'], { env })
  t.equal(code, 1)
  t.match(stdout, `fault  STORE_URL: ${path} is damaged: page ${page} is not the one that it should be.`)
  t.ok(readFileSync(path).equals(file))
})
