import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A key file or folder that cannot be used. The message names it and the mend. */
export class KeyFileError extends Error {
  constructor(path: string, what: string, mend: string) {
    super(`${path} ${what}. ${mend}`)
    this.name = 'KeyFileError'
  }
}

/** Files that begin so are being written, or were left by a process that ended meanwhile. Nothing reads them. */
export const DRAFT = '.draft-'

/** `undefined` where there is nothing. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await statOf(path)) !== undefined
}

export const isLoose = ({ mode }: Stats) => process.platform !== 'win32' && (mode & 0o077) !== 0

/** @throws {KeyFileError} when it is missing, or other users of the machine may read or write it. */
export async function requirePrivate(path: string, mend: string): Promise<void> {
  const stats = await statOf(path)
  if (!stats) throw new KeyFileError(path, 'is missing', 'Put it back from a backup.')
  if (!isLoose(stats)) return
  throw new KeyFileError(
    path,
    `is open to other users of this machine (mode ${(stats.mode & 0o777).toString(8)})`,
    `Close it: ${mend} ${path}`,
  )
}

/** @throws {KeyFileError} when it cannot be read. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new KeyFileError(
      path,
      `cannot be read (${code})`,
      'Let this user read it, or put it back from a backup.',
    )
  }
}

/** Writes a file that nothing reads yet, 0600, and waits until the disk has it. @returns its path. */
export async function writeDraft(folder: string, content: string): Promise<string> {
  const path = join(folder, `${DRAFT}${randomBytes(8).toString('hex')}`)
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  return path
}

/** Waits until the disk has the names of the folder's files. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
