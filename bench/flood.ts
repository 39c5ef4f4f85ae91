import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import type { Load } from './load.ts'
import { CLIENT, PASSWORD } from './registration.ts'
import { type Spread, spreadOf } from './statistics.ts'
import { type Report, spread } from './tables.ts'

/** Sign-ins that come each second, whatever becomes of those before: several times what one core can hash. */
const PER_SECOND = 200
/** Before the refreshes are timed: in this time the queue of hashes is full. */
const FILL_MS = 1500

export interface FloodSettings {
  readonly rounds: number
  readonly seconds: number
  readonly atOnce: number
}

/** How long refreshes take beside a flood of sign-ins, against how long they take without, round by round. */
export interface FloodFigures extends FloodSettings {
  readonly perSecond: number
  readonly quietP50Ms: Spread
  readonly quietP99Ms: Spread
  readonly floodP50Ms: Spread
  readonly floodP99Ms: Spread
  /** The p99 with the flood through the p99 without. */
  readonly ratio: Spread
  /** What became of the sign-ins: answers by status. */
  readonly signIns: Readonly<Record<string, number>>
}

interface Setting {
  readonly url: string
  readonly usernames: readonly string[]
  readonly load: Load
  readonly progress: (line: string) => void
}

/** Interleaved, because the machine drifts: every round measures without the flood and then with it. */
export async function measureFlood(
  { url, usernames, load, progress }: Setting,
  settings: FloodSettings,
): Promise<FloodFigures> {
  const { rounds, seconds, atOnce } = settings
  const signIns: Record<string, number> = {}
  const quiet: { p50Ms: number; p99Ms: number }[] = []
  const flooded: { p50Ms: number; p99Ms: number }[] = []
  await load.run(atOnce, seconds)
  for (let round = 1; round <= rounds; round += 1) {
    quiet.push(await load.run(atOnce, seconds))
    const flood = startFlood(url, usernames, signIns)
    await sleep(FILL_MS)
    flooded.push(await load.run(atOnce, seconds))
    await flood.stop()
    const [before, beside] = [quiet.at(-1)!.p99Ms, flooded.at(-1)!.p99Ms]
    progress(`round ${round} of ${rounds}: p99 ${before.toFixed(2)} ms, in the flood ${beside.toFixed(2)} ms`)
  }
  return {
    ...settings,
    perSecond: PER_SECOND,
    quietP50Ms: spreadOf(quiet.map(({ p50Ms }) => p50Ms)),
    quietP99Ms: spreadOf(quiet.map(({ p99Ms }) => p99Ms)),
    floodP50Ms: spreadOf(flooded.map(({ p50Ms }) => p50Ms)),
    floodP99Ms: spreadOf(flooded.map(({ p99Ms }) => p99Ms)),
    ratio: spreadOf(flooded.map(({ p99Ms }, round) => p99Ms / quiet[round]!.p99Ms)),
    signIns,
  }
}

/** @param answers counts the answers by status. */
function startFlood(url: string, usernames: readonly string[], answers: Record<string, number>) {
  const pool = new Pool(url, { connections: 256, pipelining: 1, headersTimeout: 30_000 })
  const underWay = new Set<Promise<void>>()
  let sent = 0
  const one = async () => {
    sent += 1
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: '/token',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        // From everywhere, so that no budget of one network ends the flood: the server trusts this proxy.
        'x-forwarded-for': `10.${sent % 250}.${Math.floor(sent / 250) % 250}.1`,
      },
      body: new URLSearchParams({
        grant_type: 'password',
        client_id: CLIENT.clientId,
        username: usernames[sent % usernames.length] ?? '',
        password: PASSWORD,
      }).toString(),
    })
    await body.dump()
    answers[statusCode] = (answers[statusCode] ?? 0) + 1
  }
  const begun = performance.now()
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) / 1000) * PER_SECOND)
    while (sent < due) {
      const request = one()
        .catch(() => {
          answers.none = (answers.none ?? 0) + 1
        })
        .finally(() => underWay.delete(request))
      underWay.add(request)
    }
  }, 10)
  return {
    /** Ends it, and waits until the server has answered all. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await Promise.all(underWay)
      await pool.close()
    },
  }
}

export function floodReportOf(figures: FloodFigures): Report {
  const { rounds, seconds, atOnce, perSecond, signIns } = figures
  const answers = Object.entries(signIns).map(([status, count]) => `${status}: ${count}`)
  return {
    name: 'flood',
    title: `Refreshes beside a flood of ${perSecond} sign-ins per second, on Redis; ${atOnce} at once`,
    notes: [`medians of ${rounds} rounds of ${seconds} s, least to most in brackets`],
    tables: [
      {
        title: 'Milliseconds of a refresh',
        notes: [`what became of the sign-ins: ${answers.join(', ')}`],
        header: ['', 'without the flood', 'in the flood', 'ratio'],
        rows: [
          ['p50', spread(figures.quietP50Ms, 2), spread(figures.floodP50Ms, 2), ''],
          ['p99', spread(figures.quietP99Ms, 2), spread(figures.floodP99Ms, 2), spread(figures.ratio, 2)],
        ],
      },
    ],
    charts: [],
  }
}
