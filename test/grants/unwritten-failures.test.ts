import t from 'tap'
import { expectUnavailable } from '../support/expect.ts'
import { type Answer, ask as askUrl } from '../support/http-client.ts'
import { startProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { HOME } from './guesses.ts'
import { beginHeld, RIGHT } from './held-sign-ins.ts'

const NAMES = ['one', 'two', 'three']
/** Well below the time that a server waits for its store. */
const NOISE_MS = 300

t.test('a failure that cannot be written is told to nobody, and charged when it can', async (t) => {
  const budget = { SIGN_IN_FAILURES_PER_ACCOUNT: '1' }
  const { deployment, ask, from, held, goOn, letGo } = await beginHeld(t, 'redis', budget)
  const proxy = await startProxy(deployment.redis!.port)
  t.teardown(() => proxy.stop())
  const server = await deployment.startServer({ STORE_URL: `redis://127.0.0.1:${proxy.port}` })
  const ready = async () => (await askUrl(`${server.managementUrl}/health/ready`)).status === 200

  /** Asks, and loses the store while the password is looked at. */
  async function inTrouble(username: string, password: string): Promise<Answer> {
    const asked = ask(HOME, { username, password }, server)
    await until('it is under way', () => held.length === 1)
    proxy.swallow(true)
    goOn()
    const answer = await asked
    proxy.swallow(false)
    proxy.cutAll()
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
})
