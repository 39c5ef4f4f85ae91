import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { deploy } from '../support/deployment.ts'
import type { Promises } from './check-history.ts'
import { startRecorder } from './history.ts'
import { holdHistory } from './hold-history.ts'
import { LOAD_ENV, startLoad } from './load.ts'

/** Something that becomes of several Redis servers. It says when there is a primary again, and ends when all is as before. */
export type FailoverFault<T> = (store: T, returned: () => void) => Promise<void>

/** What a primary may have answered and its replicas not heard of yet; see docs/storage.md. */
const REPLICATION_LAG_MS = 1000
/** One client for each account, so that some node of a cluster has three of them. */
const ACCOUNTS = 9
/** All but two stay for long: whoever is in the middle of a session is there to heal what is lost. */
const turnsOf = (client: number) => (client < 2 ? 20 : 1000)

export interface Play<T> {
  readonly faults: Record<string, FailoverFault<T>>
  /** Those that come, each in its turn and then again. */
  readonly names: readonly string[]
  readonly count: number
  readonly waitReplicas: number
  /** Whether an acknowledged sign-in or revocation of the last moment may be lost with its primary. */
  readonly mayLose: boolean
  readonly promises: Promises
  /** What they are called where they are counted. */
  readonly what: string
}

/** Has the faults come and go under two servers while clients refresh, and judges the history. @returns how many healed. */
export async function playFailovers<T extends { readonly url: string }>(
  t: Test,
  store: T,
  { faults, names, count, waitReplicas, mayLose, promises, what }: Play<T>,
): Promise<number> {
  const env = { ...LOAD_ENV, REDIS_WAIT_REPLICAS: String(waitReplicas) }
  const deployment = await deploy(t, { storeUrl: store.url }, { env })
  const accounts = []
  for (let i = 0; i < ACCOUNTS; i += 1) accounts.push(await deployment.addAccount(`ada${i}`))
  await deployment.closeStore()
  const servers = [await deployment.startServer(), await deployment.startServer()]
  const recorder = startRecorder()
  const load = startLoad(recorder, () => servers.map(({ url }) => url), accounts, turnsOf)
  t.teardown(() => load.stop())
  await load.eachTurned('nothing')
  for (let i = 0; i < count; i += 1) {
    const name = names[i % names.length]!
    await sleep(500 * Math.random())
    await recorder.fault(name, (returned) => faults[name]!(store, returned))
    await load.eachTurned(name)
  }
  await load.stop()
  const mayLoseMs = () => (mayLose ? REPLICATION_LAG_MS : 0)
  const counted = { what, number: count, on: 'redis' } as const
  const healed = holdHistory(t, recorder, servers, { ...promises, mayLoseMs }, counted)
  const stopped = await Promise.all(servers.map((server) => server.stop()))
  t.strictSame(stopped, [0, 0], 'no server had ended before it was told to')
  t.strictSame(
    servers.map(({ stderr }) => stderr),
    ['', ''],
    'and none complained',
  )
  return healed
}
