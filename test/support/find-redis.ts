import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/**
 * The server binary that the tests run: `REDIS_SERVER` when it is set, else the first `redis-server`, else the first
 * `valkey-server`, on `PATH`; undefined when there is none.
 *
 * @throws Error when `REDIS_SERVER` names something that cannot be run: a wrong path must not turn silently into another server.
 */
export function findRedis(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env.REDIS_SERVER
  if (named) {
    if (!isExecutable(named)) throw new Error(`REDIS_SERVER names ${named}, which is not an executable file`)
    return named
  }
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const candidates = ['redis-server', 'valkey-server'].flatMap((name) =>
    folders.map((folder) => join(folder, name)),
  )
  return candidates.find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
