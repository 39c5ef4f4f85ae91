import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { startRecorder } from './history.ts'
import { holdHistory, PROMISES } from './hold-history.ts'
import { LOAD_ENV, startLoad } from './load.ts'

/** The longest that a server is left alone between two kills. */
const PEACE_MS = 400

/** Kills one of two servers with SIGKILL, at random moments, and starts it anew, while clients go on. */
export async function playKills(t: Test, kind: StoreKind, kills: number): Promise<void> {
  const deployment = await deploy(t, kind, { env: LOAD_ENV, redis: { aof: true } })
  const ada = await deployment.addAccount('ada')
  const servers = [await deployment.startServer(), await deployment.startServer()]
  const all = [...servers]
  const recorder = startRecorder()
  const load = startLoad(recorder, () => servers.map(({ url }) => url), ada)
  t.teardown(() => load.stop())
  await load.eachTurned('the beginning')
  for (let kill = 0; kill < kills; kill += 1) {
    await sleep(PEACE_MS * Math.random())
    const at = kill % servers.length
    const { port, managementPort } = servers[at]!
    await recorder.fault(`kill ${kill}`, async () => {
      await servers[at]!.kill()
      const next = await deployment.startServer({
        PORT: String(port),
        MANAGEMENT_PORT: String(managementPort),
      })
      servers[at] = next
      all.push(next)
    })
  }
  await load.eachTurned('the last kill')
  await load.stop()
  holdHistory(t, recorder, all, PROMISES, { what: 'kills of a server', number: kills, on: kind })
}
