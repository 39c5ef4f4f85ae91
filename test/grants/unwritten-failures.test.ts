import t, { type Test } from 'tap'
import { type Deployment, STORE_KINDS } from '../support/deployment.ts'
import { expectUnavailable } from '../support/expect.ts'
import { type Answer, ask as askUrl } from '../support/http-client.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { holdWriteLock } from '../support/write-lock.ts'
import { HOME } from './guesses.ts'
import { beginHeld, RIGHT } from './held-sign-ins.ts'

const NAMES = ['one', 'two', 'three']
/** Well below the time that a server waits for its store. */
const NOISE_MS = 300

// They wait for what is pending to be forgotten.
t.jobs = STORE_KINDS.length

/** Where the store is, for a server, and what makes it write nothing more; that returns what makes it write again. */
interface Fault {
  readonly storeUrl: string
  readonly strike: () => Promise<() => Promise<void>>
}

const FAULTS = {
  async redis(t: Test, { redis }: Deployment): Promise<Fault> {
    const proxy = await startProxy(redis!.port)
    t.teardown(() => proxy.stop())
    const strike = async () => {
      proxy.swallow(true)
      return async () => {
        proxy.swallow(false)
        proxy.cutAll()
      }
    }
    return { storeUrl: `redis://127.0.0.1:${proxy.port}`, strike }
  },
  async lmdb(t: Test, { dataDir }: Deployment): Promise<Fault> {
    return { storeUrl: `lmdb:${dataDir}`, strike: () => holdWriteLock(t, dataDir) }
  },
}

for (const kind of STORE_KINDS)
  t.test(
    `a failure that cannot be written is told to nobody, and charged when it can, on ${kind}`,
    async (t) => {
      const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: '1' }
      const { deployment, ask, from, held, goOn, letGo } = await beginHeld(t, kind, budget)
      const { storeUrl, strike } = await FAULTS[kind](t, deployment)
      const server = await deployment.startServer({ STORE_URL: storeUrl })
      const ready = async () => (await askUrl(`${server.managementUrl}/health/ready`)).status === 200

      /** Asks, and loses the store while the password is looked at. */
      async function inTrouble(username: string, password: string): Promise<Answer> {
        const asked = ask(HOME, { username, password }, server)
        await until('it is under way', () => held.length === 1)
        const mend = await strike()
        goOn()
        const answer = await asked
        await mend()
        await until('the server is ready', ready)
        return answer
      }

      const wrong: Answer[] = []
      const right: Answer[] = []
      for (const name of NAMES) {
        wrong.push(await inTrouble(`mallory-${name}`, 'guessed'))
        right.push(await inTrouble(`eve-${name}`, RIGHT))
      }
      const seen = ({ status, text, headers: { date: _, ...headers } }: Answer) => ({ status, text, headers })
      for (const answer of [...wrong, ...right]) {
        expectUnavailable(t, answer)
        t.strictSame(seen(answer), seen(wrong[0]!), 'a right password and a wrong one are answered alike')
      }
      const fastest = (answers: readonly Answer[]) => Math.round(Math.min(...answers.map(({ ms }) => ms)))
      const times = [fastest(wrong), fastest(right)] as const
      t.ok(Math.abs(times[0] - times[1]) < NOISE_MS, `and as fast: ${times.join(' and ')} ms`)

      letGo()
      for (const name of NAMES) {
        const next = await from(HOME, { username: `mallory-${name}`, password: RIGHT }, server)
        t.equal(next.status, 429, 'the failure was written later')
      }
      for (const name of NAMES) {
        const next = await from(HOME, { username: `eve-${name}`, password: RIGHT }, server)
        t.equal(next.status, 200, 'what failed by our own trouble is not charged')
      }
    },
  )
