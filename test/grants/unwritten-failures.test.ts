import t, { type Test } from 'tap'
import { inRounds } from '../support/at-best.ts'
import { type Deployment, STORE_KINDS } from '../support/deployment.ts'
import { expectUnavailable } from '../support/expect.ts'
import { type Answer, ask as askUrl } from '../support/http-client.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { readyWriteLock } from '../support/write-lock.ts'
import { HOME } from './guesses.ts'
import { beginHeld, RIGHT } from './held-sign-ins.ts'

const ROUNDS = { least: 3, most: 10 }
/** Well below the time that a server waits for its store. */
const NOISE_MS = 300

// They wait for what is pending to be forgotten.
t.jobs = STORE_KINDS.length

/**
 * Where the store is, for a server, and what prepares a fault: that returns what makes the store write nothing more, which
 * returns what makes it write again.
 */
interface Fault {
  readonly storeUrl: string
  readonly prepare: () => Promise<() => Promise<() => Promise<void>>>
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
    return { storeUrl: `redis://127.0.0.1:${proxy.port}`, prepare: async () => strike }
  },
  async lmdb(t: Test, { dataDir }: Deployment): Promise<Fault> {
    return { storeUrl: `lmdb:${dataDir}`, prepare: () => readyWriteLock(t, dataDir) }
  },
}

for (const kind of STORE_KINDS)
  t.test(
    `a failure that cannot be written is told to nobody, and charged when it can, on ${kind}`,
    async (t) => {
      const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: '1' }
      const { deployment, ask, from, held, goOn, letGo } = await beginHeld(t, kind, budget)
      const { storeUrl, prepare } = await FAULTS[kind](t, deployment)
      const server = await deployment.startServer({ STORE_URL: storeUrl })
      const ready = async () => (await askUrl(`${server.managementUrl}/health/ready`)).status === 200

      /** Asks, and loses the store while the password is looked at. */
      async function inTrouble(username: string, password: string): Promise<Answer> {
        // Beforehand: the webhook is not waited for much longer than it would take.
        const strike = await prepare()
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
      const fastest = (answers: readonly Answer[]) => Math.round(Math.min(...answers.map(({ ms }) => ms)))
      const areAsFast = () => Math.abs(fastest(wrong) - fastest(right)) < NOISE_MS
      await inRounds(ROUNDS, areAsFast, async (round) => {
        wrong.push(await inTrouble(`mallory-${round}`, 'guessed'))
        right.push(await inTrouble(`eve-${round}`, RIGHT))
      })
      const seen = ({ status, text, headers: { date: _, ...headers } }: Answer) => ({ status, text, headers })
      for (const answer of [...wrong, ...right]) {
        expectUnavailable(t, answer)
        t.strictSame(seen(answer), seen(wrong[0]!), 'a right password and a wrong one are answered alike')
      }
      t.ok(areAsFast(), `and as fast: ${fastest(wrong)} and ${fastest(right)} ms`)

      letGo()
      for (const round of wrong.keys()) {
        const next = await from(HOME, { username: `mallory-${round}`, password: RIGHT }, server)
        t.equal(next.status, 429, 'the failure was written later')
      }
      for (const round of right.keys()) {
        const next = await from(HOME, { username: `eve-${round}`, password: RIGHT }, server)
        t.equal(next.status, 200, 'what failed by our own trouble is not charged')
      }
    },
  )
