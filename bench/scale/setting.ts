import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureKeys } from '../../src/keys/key-files.ts'
import type { Store } from '../../src/stores/contract.ts'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore, untilReachable } from '../../src/stores/open-store.ts'
import { childrenOf } from '../../test/support/processes.ts'
import { type Cores, cpuMicrosecondsOf, eachCore } from '../cores.ts'
import { CLIENT } from '../registration.ts'
import { type BenchServer, startServer } from '../server.ts'

/** What a part of the benchmark starts, all of it ended with `end`. */
export interface Setting {
  readonly folder: string
  readonly keysDir: string
  /** Opens the store beside the servers, and registers the client there. */
  open(url: string): Promise<Store>
  /** @param cores where; everywhere unless given. */
  serve(storeUrl: string, more?: Readonly<Record<string, string>>, cores?: Cores): Promise<BenchServer>
  /** Has something done at the end, before what was begun earlier. */
  atEnd(step: () => unknown): void
  end(): Promise<void>
}

const EVERYWHERE: Cores = { ...eachCore()[0]!, server: undefined }

export async function newSetting(): Promise<Setting> {
  const folder = await mkdtemp(join(tmpdir(), 'pawl-scale-'))
  const keysDir = join(folder, 'keys')
  await ensureKeys(keysDir)
  const steps: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  return {
    folder,
    keysDir,
    async open(url) {
      const store = await openStore(parseStoreUrl(url), {
        waitReplicas: 0,
        sweeps: false,
        onChange: () => undefined,
      })
      steps.push(() => store.close())
      await untilReachable(store, 10_000)
      await store.clients.create(CLIENT)
      return store
    },
    async serve(storeUrl, more = {}, cores = EVERYWHERE) {
      const server = await startServer(cores, storeUrl, keysDir, { ISSUER: 'http://localhost:9000', ...more })
      steps.push(() => server.stop())
      return server
    },
    atEnd: (step) => steps.push(step),
    async end() {
      for (const step of steps.reverse()) await step()
    },
  }
}

/** The server's worker processes; none where there is no primary, nor on a system without `/proc`. */
export function workersOf({ pid }: BenchServer): number[] {
  try {
    return childrenOf(pid)
  } catch {
    return []
  }
}

/** Processor time of all of these processes together, in microseconds; NaN on a system without `/proc`. */
export function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (exactCpuOf(pid) ?? cpuMicrosecondsOf(pid) ?? Number.NaN), 0)
}

/** By the scheduler's own account, which is exact where the kernel keeps it: the usual one goes in steps of 10 ms. */
function exactCpuOf(pid: number): number | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const nanoseconds = threads.map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    )
    return nanoseconds.reduce((sum, each) => sum + each, 0) / 1000
  } catch {
    return undefined
  }
}
