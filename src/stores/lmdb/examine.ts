import { existsSync, mkdtempSync, rmdirSync, statfsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type Finding, findingsOf } from '../finding.ts'
import { openLmdbStore } from './store.ts'
import { StoreFileError } from './store-file.ts'

const MIB = 1024 * 1024
/** Free space below which there is something to say. A session takes about half a KiB. */
const LITTLE_BYTES = 1024 * MIB
const TOO_LITTLE_BYTES = 64 * MIB

/** statfs(2): file systems of other machines, on which a map into memory is not what LMDB takes it for. */
const REMOTE_FILE_SYSTEMS = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
])

/** Looks at the embedded store's folder. */
export async function examineLmdb(folder: string): Promise<Finding[]> {
  const { ok, note, fault } = findingsOf('STORE_URL')
  const path = resolve(folder)
  const isThere = existsSync(path)
  const nearest = isThere ? path : nearestThere(path)
  const found: Finding[] = []

  try {
    rmdirSync(mkdtempSync(join(nearest, '.pawl-doctor-')))
    found.push(
      isThere
        ? ok(`${path} can be written`)
        : note(`${path} is not there yet; the first start makes it, below ${nearest}`),
    )
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    found.push(
      fault(`${nearest} cannot be written (${code})`, 'Let this user write there, or name another folder.'),
    )
    return found
  }

  const { type, bavail, bsize } = statfsSync(nearest)
  const remote = REMOTE_FILE_SYSTEMS.get(type)
  if (remote) {
    found.push(
      fault(
        `${nearest} is on ${remote}, on which LMDB loses data`,
        'Name a folder on a disk of this machine, or use Redis.',
      ),
    )
  }
  const free = bavail * bsize
  const space = `${Math.floor(free / MIB)} MiB are free for ${path}`
  if (free < TOO_LITTLE_BYTES)
    found.push(fault(space, 'Make room: a full disk answers every sign-in and refresh with 503.'))
  else found.push(free < LITTLE_BYTES ? note(space) : ok(space))

  if (!isThere) return found
  const mode = statSync(path).mode & 0o777
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    found.push(
      note(
        `${path} is open to other users of this machine (mode ${mode.toString(8)})`,
        `Close it: chmod 700 ${path}`,
      ),
    )
  }
  if (existsSync(join(path, 'data.mdb'))) found.push(await examineContent(path))
  return found
}

async function examineContent(path: string): Promise<Finding> {
  const { ok, fault } = findingsOf('STORE_URL')
  try {
    const store = openLmdbStore(path, false)
    try {
      return ok(`${path} holds ${await store.families.count()} sessions`)
    } finally {
      await store.close()
    }
  } catch (error) {
    if (error instanceof StoreFileError) return fault(error.message, 'Until then no server starts.')
    return fault(`${path} cannot be opened: ${(error as Error).message}`, 'Put it back from a backup.')
  }
}

function nearestThere(path: string): string {
  const parent = dirname(path)
  return existsSync(parent) || parent === path ? parent : nearestThere(parent)
}
