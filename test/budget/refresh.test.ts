import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { refresh, signIn } from '../support/http-client.ts'
import type { Reading } from '../support/meter.ts'
import { type ServerProcess, startServer } from '../support/processes.ts'
import { until } from '../support/until.ts'

/*
 * What one refresh costs, in counts: those do not depend on how busy the machine is, so more of them is a change that
 * somebody made. Whoever has a reason to raise a number here raises it, and says why in docs/benchmarks/profile.md.
 */

/** Calls of `node:crypto`: the RS256 signature, the MACs of two refresh tokens, `jti`, the family's id, the client's secret, the user's locator. */
const CALLS = { sign: 1, createHmac: 2, hash: 4, createHash: 0, randomBytes: 0, randomUUID: 0 }

/** Questions to the store, by the metric that times them. */
const VERBS = { 'families.advance': 1 }

/** Commands that Redis runs, inside the script and around it. */
const COMMANDS = { evalsha: 1, time: 1, hmget: 1, get: 1, pttl: 1, set: 1 }

/** Bytes of JavaScript objects. Differs by some per cent between versions of Node. */
const HEAP_BYTES = { redis: 64_000, lmdb: 67_000 }

const WARM_UP = 600
const REFRESHES = 200

const METER = new URL('../support/meter.js', import.meta.url).href

for (const kind of STORE_KINDS) {
  t.test(`a refresh on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const account = await deployment.addAccount('ada')
    // No garbage is collected while so little has been allocated, and then what is on the heap tells how much that was.
    const server = await startServer({
      env: deployment.env,
      cwd: deployment.cwd,
      execArgv: ['--import', METER, '--min-semi-space-size=256', '--max-semi-space-size=256'],
    })
    t.teardown(() => server.stop())
    let { refresh_token } = await signIn(server.url, account)
    const refreshTimes = async (times: number) => {
      for (let i = 0; i < times; i += 1)
        refresh_token = (await refresh(server.url, refresh_token, { client_id: 'ada' })).refresh_token
    }
    await refreshTimes(WARM_UP)

    const commands = async () => commandsOf(String(await deployment.redis?.cli('INFO', 'commandstats')))
    const bytesOfSeries: number[] = []
    // What the server does besides, now and then, adds to the heap and takes nothing from it: the least of three.
    while (bytesOfSeries.length < 3) {
      const [before, verbsBefore, commandsBefore] = [
        await readingOf(server),
        await verbsOf(server),
        await commands(),
      ]
      await refreshTimes(REFRESHES)
      const [after, verbsAfter, commandsAfter] = [
        await readingOf(server),
        await verbsOf(server),
        await commands(),
      ]

      const calls = Object.keys(CALLS).map((name) => {
        const key = name as keyof typeof CALLS
        return [name, (after.calls[key] - before.calls[key]) / REFRESHES]
      })
      t.strictSame(Object.fromEntries(calls), CALLS, 'calls of node:crypto')
      t.strictSame(perRefresh(verbsBefore, verbsAfter), VERBS, 'questions to the store')
      if (kind === 'redis')
        t.strictSame(perRefresh(commandsBefore, commandsAfter), COMMANDS, 'commands in Redis')

      t.equal(after.collections, before.collections, 'no garbage was collected meanwhile')
      bytesOfSeries.push((after.heap - before.heap) / REFRESHES)
    }
    const bytes = Math.min(...bytesOfSeries)
    t.comment(`${bytesOfSeries.map(Math.round).join(', ')} bytes allocated by a refresh`)
    t.ok(bytes > 0 && bytes <= HEAP_BYTES[kind], `${Math.round(bytes)} bytes are at most ${HEAP_BYTES[kind]}`)
  })
}

async function readingOf(server: ServerProcess): Promise<Reading> {
  const lines = () => server.stderr.split('\n').filter((line) => line.startsWith('{"calls"'))
  const known = lines().length
  process.kill(server.pid, 'SIGWINCH')
  return JSON.parse(await until('the meter is read', () => lines()[known]))
}

/** Questions to the store so far, by verb. */
async function verbsOf({ managementUrl }: ServerProcess): Promise<Map<string, number>> {
  const text = await (await fetch(`${managementUrl}/metrics`)).text()
  return new Map(
    [...text.matchAll(/^pawl_store_seconds_count\{verb="([^"]+)"\} (\d+)$/gm)].map(([, verb = '', count]) => [
      verb,
      Number(count),
    ]),
  )
}

/** Commands so far, by name. */
function commandsOf(info: string): Map<string, number> {
  return new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]),
  )
}

/**
 * How often each, by refresh. Rounded: a client's record is read again a few times a second, and the readiness of the
 * server asks now and then.
 */
function perRefresh(before: Map<string, number>, after: Map<string, number>): Record<string, number> {
  const rates = [...after].map(([name, count]) => [
    name,
    Math.round((count - (before.get(name) ?? 0)) / REFRESHES),
  ])
  return Object.fromEntries(rates.filter(([, rate]) => rate !== 0))
}
