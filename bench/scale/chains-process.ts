import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENT, USER_AGENT } from '../registration.ts'
import { quantile } from '../statistics.ts'
import { Connection, type PlainAnswer } from './connection.ts'

export type ChainsTask =
  | { readonly kind: 'begin'; readonly urls: readonly string[]; readonly tokens: readonly string[] }
  | { readonly kind: 'run'; readonly atOnce: number; readonly seconds: number }

export interface ChainsFigures {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Refreshes that were answered with tokens, those included that came after the time was up. */
  readonly refreshes: number
  /** Requests that came to nothing for a reason that may pass, and were made again with the same token. */
  readonly troubles: number
  /** What ended a session: the answers. */
  readonly lost: readonly string[]
  /** Sessions whose last request came to nothing and that had no time left to make it again. */
  readonly unfinished: number
  readonly cpuMicroseconds: number
}

/** A client library's pause before it asks again. */
const RETRY_MS = 20
/** For so long a server that did not answer is left alone, as a proxy in front of several would. */
const AVOID_MS = 1000
/** Trouble that goes on for longer is no trouble but a loss. */
const PATIENCE_MS = 5000

let urls: readonly string[] = []
/** The refresh tokens that the sessions hold, each a chain of its own; the one that rested longest goes next. */
let held: string[] = []

/** A session lives on with the token that it is given back, or is over. */
type Turn = { readonly token: string } | { readonly lost: string } | { readonly unfinished: string }

/** One of those that ask at once: a connection to each server, and one request at a time. */
class Asker {
  readonly #connections = urls.map((url) => new Connection(url, USER_AGENT))
  readonly #avoidedUntil = urls.map(() => 0)
  troubles = 0

  /** Refreshes at a server by chance, and where that comes to nothing, at another with the same token. */
  async turn(token: string): Promise<Turn> {
    const form = `grant_type=refresh_token&client_id=${CLIENT.clientId}&refresh_token=${token}`
    const patience = performance.now() + PATIENCE_MS
    for (;;) {
      const at = this.#choose()
      const answer = await this.#connections[at]!.post(form).catch(() => undefined)
      if (answer?.status === 200) return continuedBy(answer, token)
      if (answer && !mayPass(answer)) return { lost: `${answer.status} ${answer.body}` }
      this.troubles += 1
      if (!answer) this.#avoidedUntil[at] = performance.now() + AVOID_MS
      if (performance.now() > patience) return { unfinished: token }
      await sleep(RETRY_MS)
    }
  }

  #choose(): number {
    const begin = Math.floor(Math.random() * urls.length)
    const inTurn = urls.map((_, i) => (begin + i) % urls.length)
    const now = performance.now()
    return inTurn.find((at) => this.#avoidedUntil[at]! <= now) ?? begin
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }
}

const mayPass = ({ status, body }: PlainAnswer) => (status === 503 || status === 429) && !/"error"/.test(body)

function continuedBy({ body }: PlainAnswer, before: string): Turn {
  const token = /"refresh_token":"([^"]+)"/.exec(body)?.[1]
  return token === undefined || token === before ? { lost: `200 ${body}` } : { token }
}

async function run(atOnce: number, seconds: number): Promise<ChainsFigures> {
  const latencies: number[] = []
  const lost: string[] = []
  let refreshes = 0
  let unfinished = 0
  const resting = held
  let next = 0
  const askers = Array.from({ length: Math.min(atOnce, resting.length) }, () => new Asker())
  const cpu = process.cpuUsage()
  const deadline = performance.now() + seconds * 1000
  await Promise.all(
    askers.map(async (asker) => {
      for (let sent = performance.now(); sent < deadline && next < resting.length; ) {
        const turn = await asker.turn(resting[next++]!)
        const received = performance.now()
        if ('lost' in turn) lost.push(turn.lost)
        else if ('unfinished' in turn) unfinished += 1
        else {
          refreshes += 1
          if (received <= deadline) latencies.push(received - sent)
          resting.push(turn.token)
        }
        sent = received
      }
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  held = resting.slice(next)
  for (const asker of askers) asker.close()
  latencies.sort((a, b) => a - b)
  return {
    requestsPerSecond: latencies.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    refreshes,
    troubles: askers.reduce((sum, { troubles }) => sum + troubles, 0),
    lost,
    unfinished,
    cpuMicroseconds: user + system,
  }
}

async function carryOut(task: ChainsTask): Promise<ChainsFigures | undefined> {
  if (task.kind === 'run') return run(task.atOnce, task.seconds)
  urls = task.urls
  held = [...task.tokens]
  return undefined
}

process.on('message', (task: ChainsTask) => {
  carryOut(task).then(
    (figures) => process.send!({ figures }),
    (error: Error) => process.send!({ failure: error.message }),
  )
})
// The connections to the servers would keep it alive.
process.on('disconnect', () => process.exit())
