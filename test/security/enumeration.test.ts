import t, { type Test } from 'tap'
import { clientKey } from '../../src/stores/redis/keys.ts'
import { count } from '../support/count.ts'
import { deploy, STORE_KINDS, type StoreKind } from '../support/deployment.ts'
import { startNotedServer } from '../support/noted-calls.ts'
import { ask, compare, expectAlike, pairs, shapeOf } from './enumeration.ts'

/** Enough to see a hash that is left out, or a second one; what is finer is for enumeration.long.ts. */
const ROUNDS = 8
const BOUND = 1 / 3

for (const kind of STORE_KINDS) {
  t.test(`what exists and what does not, on ${kind}`, async (t) => {
    const { url, all, close, questions, commands } = await begin(t, kind)
    let round = 1
    let compared = 0
    for (const pair of all) {
      const answers = []
      for (const request of [pair.existing(round++), pair.other(round++)]) {
        const asked = await questions(() => ask(url, request).then((answer) => answers.push(shapeOf(answer))))
        answers.push(asked)
      }
      t.strictSame(answers[0], answers[2], `${pair.name}: the same bytes and headers`)
      t.strictSame(answers[1], answers[3], `${pair.name}: ${JSON.stringify(answers[1])}`)
      if (commands) {
        // What the store itself sees: which commands, in which order. Those before have taught it its scripts.
        const seen = [await commands(() => ask(url, pair.existing(round++)))]
        seen.push(await commands(() => ask(url, pair.other(round++))))
        t.ok(seen[0] && seen[0].length > 0, `${pair.name}: ${seen[0]?.join(' ')}`)
        t.strictSame(seen[0], seen[1], 'the same round trips to Redis')
      }
      if (kind === 'redis') {
        const times = await compare(url, pair, ROUNDS, 1000 * round)
        expectAlike(t, pair.name, times, BOUND * times.usual)
      }
      compared += 1
    }
    count(t, { what: 'pairs of requests that look alike', number: compared, on: kind })
    await close()
  })
}

/** A server in this process, whose questions to the store and to the hashing are noted down. */
async function begin(t: Test, kind: StoreKind) {
  const deployment = await deploy(t, kind)
  const all = await pairs(deployment)
  const server = await startNotedServer({
    ...deployment.env,
    SIGN_IN_FAILURES_PER_ACCOUNT: '100000',
    SIGN_IN_FAILURES_PER_NETWORK: '100000',
    SIGN_IN_FAILURES_IN_TOTAL: '1000000',
  })
  const { redis } = deployment
  const monitored = async (work: () => Promise<unknown>) => {
    const client = redis!.client()
    const monitor = await client.monitor()
    const seen: string[] = []
    monitor.on('monitor', (_time: string, [command = '', key = '']: string[]) => {
      if (key !== clientKey('app')) seen.push(command.toLowerCase())
    })
    await work()
    // Behind all that was asked before: what it says of itself ends the list.
    await client.ping()
    while (!seen.includes('ping')) await new Promise((resolve) => setTimeout(resolve, 5))
    monitor.disconnect()
    client.disconnect()
    return seen.slice(0, seen.indexOf('ping'))
  }
  return {
    url: server.url,
    all,
    close: () => server.close(),
    commands: redis && monitored,
    async questions(work: () => Promise<unknown>) {
      const asked = await server.count(work)
      // The client of a sign-in is the same whoever is signed in, and remembered for a moment.
      return asked.includes('passwords.verify') ? asked.filter((verb) => verb !== 'clients.find') : asked
    },
  }
}
