import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../../test/support/redis.ts'
import { until } from '../../test/support/until.ts'
import type { BenchServer } from '../server.ts'
import { Chains } from './chains.ts'
import { populate, tokensOf } from './population.ts'
import { newSetting, workersOf } from './setting.ts'

const SESSIONS = 96
const SECONDS = 2

export interface KillFigures {
  readonly name: string
  readonly kills: number
  /** Sessions that were refreshing in chains, of all kills. */
  readonly sessions: number
  readonly refreshes: number
  /** Requests that the kills left without an answer, and that were made again with the same token. */
  readonly troubles: number
  readonly lost: number
}

/** Ends one of two servers with SIGKILL at a moment by chance, while sessions refresh in chains through both. */
export async function measureKills(kills: number, progress: (line: string) => void): Promise<KillFigures[]> {
  const setting = await newSetting()
  try {
    const redis = await startRedis({ aof: 'everysec' })
    setting.atEnd(() => redis.stop())
    const servers = [await setting.serve(redis.url), await setting.serve(redis.url)]
    const lmdb = `lmdb:${join(setting.folder, 'data')}`
    const workers = await setting.serve(lmdb, { WORKERS: '2' })

    const killServer = async () => {
      const at = Math.floor(Math.random() * servers.length)
      const [killed] = servers.splice(at, 1)
      process.kill(killed!.pid, 'SIGKILL')
    }
    const killWorker = async () => {
      const pids = workersOf(workers)
      process.kill(pids[Math.floor(Math.random() * pids.length)]!, 'SIGKILL')
    }
    const trials = [
      {
        name: 'one of two servers, Redis',
        url: redis.url,
        urls: () => servers.map(({ url }) => url),
        kill: killServer,
        mend: async () => {
          servers.push(await setting.serve(redis.url))
        },
      },
      {
        name: 'one of two workers, LMDB',
        url: lmdb,
        urls: () => [workers.url],
        kill: killWorker,
        mend: () => untilTwo(workers),
      },
    ]
    const figures: KillFigures[] = []
    for (const { name, url, urls, kill, mend } of trials) {
      const store = await setting.open(url)
      let [refreshes, troubles, lost] = [0, 0, 0]
      for (let round = 1; round <= kills; round += 1) {
        const tokens = await tokensOf(await populate(store, SESSIONS, SESSIONS), setting.keysDir)
        const chains = await Chains.start(urls(), tokens)
        const running = chains.run(SESSIONS, SECONDS)
        await sleep(1000 * SECONDS * (0.2 + 0.6 * Math.random()))
        await kill()
        const result = await running
        chains.stop()
        refreshes += result.refreshes
        troubles += result.troubles
        lost += result.lost.length + result.unfinished
        progress(
          `${name}, kill ${round} of ${kills}: ${result.troubles} requests broken, ${lost} sessions lost so far`,
        )
        for (const answer of result.lost.slice(0, 3)) progress(`  ${answer}`)
        await mend()
      }
      figures.push({ name, kills, sessions: kills * SESSIONS, refreshes, troubles, lost })
    }
    return figures
  } finally {
    await setting.end()
  }
}

async function untilTwo(server: BenchServer): Promise<void> {
  await until('there are two workers', () => workersOf(server).length === 2)
  // A worker is there before it listens.
  await sleep(1000)
}
