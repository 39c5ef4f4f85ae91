import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { deploy } from '../support/deployment.ts'
import { startSentinel } from '../support/redis.ts'
import { startRecorder } from './history.ts'
import { holdHistory, PROMISES } from './hold-history.ts'
import { LOAD_ENV, startLoad } from './load.ts'

const FAILOVERS = Number(process.env.FAILOVERS ?? 10)

/** What a primary may have answered and its replicas not heard of yet; see docs/storage.md. */
const REPLICATION_LAG_MS = 1000

// With nobody waiting for the replicas the last writes of the old primary go with it, as far as Redis says.
for (const waitReplicas of [0, 1]) {
  t.test(`failovers by Sentinel under load, REDIS_WAIT_REPLICAS=${waitReplicas}`, async (t) => {
    const sentinel = await startSentinel()
    t.teardown(() => sentinel.stop())
    const env = {
      STORE_URL: sentinel.url,
      ...LOAD_ENV,
      REDIS_WAIT_REPLICAS: String(waitReplicas),
    }
    const deployment = await deploy(t, 'lmdb', { env })
    const ada = { client_id: 'ada', username: 'ada', password: 'the long password of ada' }
    for (const [args, stdin] of [
      [['client', 'add', 'ada', '--public', '--grant', 'password', '--grant', 'refresh_token'], ''],
      [['user', 'add', 'ada', '--password-stdin'], ada.password],
    ] as const) {
      const { code, stderr } = await deployment.cli([...args], stdin)
      t.strictSame({ code, stderr }, { code: 0, stderr: '' })
    }
    const servers = [await deployment.startServer(), await deployment.startServer()]
    const recorder = startRecorder()
    const load = startLoad(recorder, () => servers.map(({ url }) => url), ada)
    t.teardown(() => load.stop())
    for (let failover = 0; failover < FAILOVERS; failover += 1) {
      await load.eachTurned(`failover ${failover}`)
      await sleep(500 * Math.random())
      await recorder.fault(`failover ${failover}`, async () => {
        await sentinel.failover()
      })
    }
    await load.eachTurned('the last failover')
    await load.stop()
    const mayLoseMs = () => (waitReplicas === 0 ? REPLICATION_LAG_MS : 0)
    holdHistory(
      t,
      recorder,
      servers,
      { ...PROMISES, mayLoseMs },
      {
        what: 'failovers',
        number: FAILOVERS,
        on: 'redis',
      },
    )
  })
}
