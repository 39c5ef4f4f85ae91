import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly dev?: boolean; readonly devOptional?: boolean; readonly link?: boolean }>
  >
}

/**
 * Bytes of what `npm ci --omit=dev` installs there: the production packages of the lockfile, as far as they are for this
 * system. Sizes of the files, not of their blocks.
 *
 * @param folder with package-lock.json and node_modules.
 */
export function installedSize(folder: string): { packages: number; bytes: number } {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as Lockfile
  const installed = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => join(folder, path))
    .filter((path) => existsSync(path))
  return { packages: installed.length, bytes: installed.reduce((sum, path) => sum + sizeOf(path), 0) }
}

/** Without the packages nested in it, which the lockfile names by themselves. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return sum + lstatSync(path).size
    return entry.name === 'node_modules' ? sum : sum + sizeOf(path)
  }, 0)
}
