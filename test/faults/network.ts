import { mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { deploy } from '../support/deployment.ts'
import type { RedisServer } from '../support/redis.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import type { Promises } from './check-history.ts'
import { startRecorder } from './history.ts'
import { holdHistory } from './hold-history.ts'
import { LOAD_ENV, startLoad } from './load.ts'

interface Path {
  readonly proxy: TcpProxy
  readonly redis: RedisServer
  readonly lastsMs: number
}

/** For each command of the log; a server looks after its clients once in a thousand. */
const LOAD_DELAY_US = 2000

const config = (redis: RedisServer, name: string, value: string) => redis.cli('CONFIG', 'SET', name, value)

/** Each returns when its cause is gone. */
export const FAULTS: Record<string, (path: Path) => Promise<void>> = {
  'late replies': async ({ proxy, lastsMs }) => {
    proxy.setDelayMs(150)
    await sleep(lastsMs)
    proxy.setDelayMs(0)
  },
  'replies that come too late': async ({ proxy, lastsMs }) => {
    proxy.setDelayMs(1500)
    await sleep(lastsMs)
    proxy.setDelayMs(0)
  },
  'replies that are lost after the command ran': async ({ proxy, lastsMs }) => {
    for (let i = 0; i < 3; i += 1) {
      proxy.dropNextReply()
      await sleep(lastsMs / 3)
    }
  },
  'connections that are cut': async ({ proxy, lastsMs }) => {
    for (let i = 0; i < 3; i += 1) {
      proxy.cutAll()
      await sleep(lastsMs / 3)
    }
  },
  'connections that are half closed': async ({ proxy, lastsMs }) => {
    proxy.halfCloseAll()
    await sleep(lastsMs)
  },
  'a network that swallows everything': async ({ proxy, lastsMs }) => {
    proxy.swallow(true)
    await sleep(lastsMs)
    proxy.swallow(false)
  },
  'connections that are refused': async ({ proxy, lastsMs }) => {
    await proxy.refuse(true)
    proxy.cutAll()
    await sleep(lastsMs)
    await proxy.refuse(false)
  },
  'a Redis that is stopped': async ({ redis, lastsMs }) => {
    redis.pause()
    await sleep(lastsMs)
    redis.resume()
  },
  'a Redis that is killed, and loads what it had': async ({ redis, lastsMs }) => {
    await redis.kill()
    await sleep(lastsMs)
    await redis.restart()
    await until('it has loaded', async () =>
      String(await redis.cli('INFO', 'persistence')).includes('\nloading:0'),
    )
  },
  'a Redis that is loading': async ({ redis, lastsMs }) => {
    // It answers now and then while it reads its log once more, so slowly that this lasts.
    await config(redis, 'key-load-delay', String(LOAD_DELAY_US))
    const deadline = performance.now() + lastsMs
    while (performance.now() < deadline) await redis.cli('DEBUG', 'LOADAOF')
    await config(redis, 'key-load-delay', '0')
  },
  'a Redis that is read-only': async ({ redis, lastsMs }) => {
    await redis.cli('REPLICAOF', '127.0.0.1', '1')
    await sleep(lastsMs)
    await redis.cli('REPLICAOF', 'NO', 'ONE')
  },
  'a Redis that is out of memory': async ({ redis, lastsMs }) => {
    await config(redis, 'maxmemory', '1')
    await sleep(lastsMs)
    await config(redis, 'maxmemory', '0')
  },
  'a Redis that cannot save': async ({ redis, lastsMs }) => {
    // What is written cannot take the place of a folder.
    const file = join(redis.dir, 'dump.rdb')
    rmSync(file, { force: true })
    mkdirSync(file)
    await config(redis, 'save', '3600 1000000')
    await redis.cli('BGSAVE')
    await until('it has failed', async () =>
      String(await redis.cli('INFO', 'persistence')).includes('rdb_last_bgsave_status:err'),
    )
    await sleep(lastsMs)
    rmdirSync(file)
    await redis.cli('BGSAVE')
    await until('it has saved', async () =>
      String(await redis.cli('INFO', 'persistence')).includes('rdb_last_bgsave_status:ok'),
    )
    await config(redis, 'save', '')
  },
  'scripts that are forgotten': async ({ redis, lastsMs }) => {
    for (let i = 0; i < 3; i += 1) {
      await redis.cli('SCRIPT', 'FLUSH')
      await sleep(lastsMs / 3)
    }
  },
  'a Redis that keeps its clients waiting': async ({ redis, lastsMs }) => {
    await redis.cli('CLIENT', 'PAUSE', lastsMs)
    await sleep(lastsMs)
  },
  'a server’s connections that are killed by Redis': async ({ redis, lastsMs }) => {
    for (let i = 0; i < 3; i += 1) {
      await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => undefined)
      await sleep(lastsMs / 3)
    }
  },
}

/** Has the faults come and go between two servers and their Redis while clients refresh, and judges the history. */
export async function playFaults(
  t: Test,
  names: readonly string[],
  { lastsMs, rounds, promises }: { lastsMs: number; rounds: number; promises: Promises },
): Promise<void> {
  const deployment = await deploy(t, 'redis', {
    redis: { aof: true, config: ['--enable-debug-command', 'yes'] },
  })
  const redis = deployment.redis!
  const proxy = await startProxy(redis.port)
  t.teardown(() => proxy.stop())
  const ada = await deployment.addAccount('ada')
  const env = { STORE_URL: `redis://127.0.0.1:${proxy.port}`, ...LOAD_ENV }
  const servers = [await deployment.startServer(env), await deployment.startServer(env)]
  const recorder = startRecorder()
  const load = startLoad(recorder, () => servers.map(({ url }) => url), ada)
  t.teardown(() => load.stop())
  await load.eachTurned('nothing')
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      await recorder.fault(name, () => FAULTS[name]!({ proxy, redis, lastsMs }))
      await load.eachTurned(name)
    }
  }
  await load.stop()
  holdHistory(t, recorder, servers, promises, { what: 'faults', number: rounds * names.length, on: 'redis' })
}
