import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { DIALECTS, type Dialect, type DialectName, type Exchange } from './dialects.ts'
import { quantile } from './statistics.ts'

export type Task =
  /** More virtual users, beside those that there are. */
  | {
      readonly kind: 'sign-in'
      readonly url: string
      readonly dialect: DialectName
      readonly usernames: readonly string[]
    }
  | { readonly kind: 'refresh'; readonly users: number; readonly seconds: number }
  /** Each of the first `users` refreshes so many times, as fast as it goes. */
  | { readonly kind: 'rotate'; readonly users: number; readonly times: number }
  /** Sign-ins of these users, over and over. Nothing is kept of them. */
  | {
      readonly kind: 'sign-ins'
      readonly url: string
      readonly dialect: DialectName
      readonly usernames: readonly string[]
      readonly atOnce: number
      readonly seconds: number
    }

export interface LoadFigures {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers, those included that came after the time was up. */
  readonly answers: number
  /** Requests that were put off (503, 429) because the server, or its store, had too much to do. */
  readonly putOff: number
  /** Processor time of this process. */
  readonly cpuMicroseconds: number
}

/** The server has too much to do, and says so (503, 429): nothing is wrong with the request. */
class TooMuch extends Error {}

/** A connection of its own, one request at a time, and the refresh token that it got last. */
class VirtualUser {
  readonly #http: Client
  readonly #dialect: Dialect
  #refreshToken = ''

  constructor(url: string, dialect: DialectName) {
    this.#http = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000 })
    this.#dialect = DIALECTS[dialect]
  }

  async signIn(username: string): Promise<void> {
    await this.#ask('sign-in', this.#dialect.signIn(username), '')
  }

  async refresh(): Promise<void> {
    const token = this.#refreshToken
    await this.#ask('refresh', this.#dialect.refresh(token), token)
  }

  async end(): Promise<void> {
    await this.#http.close()
  }

  async #ask(what: string, exchange: Exchange, used: string): Promise<void> {
    const { statusCode, headers, body } = await this.#http.request({ ...exchange })
    const text = await body.text()
    if (statusCode === 503 || statusCode === 429) throw new TooMuch(`${what}: status ${statusCode}: ${text}`)
    if (statusCode !== 200) throw new Error(`${what}: status ${statusCode}: ${text}`)
    const { refreshToken } = this.#dialect.tokensOf(text, headers, used)
    if (!refreshToken || (this.#dialect.rotates && refreshToken === this.#refreshToken)) {
      throw new Error(`${what}: the answer holds no new refresh token`)
    }
    this.#refreshToken = refreshToken
  }
}

/** Few enough that the queue of password hashes has room for them all. */
const SIGN_INS_AT_ONCE = 8
const ATTEMPTS = 40

const virtualUsers: VirtualUser[] = []

async function signIn(url: string, dialect: DialectName, usernames: readonly string[]): Promise<undefined> {
  const waiting = usernames.map((username) => ({ username, user: new VirtualUser(url, dialect) }))
  virtualUsers.push(...waiting.map(({ user }) => user))
  const one = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { user, username } = next
      await atLast(() => user.signIn(username))
    }
  }
  await Promise.all(Array.from({ length: SIGN_INS_AT_ONCE }, one))
}

/** Waits and asks again, however busy the machine is: this is not timed. */
async function atLast(ask: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof TooMuch) || attempt === ATTEMPTS) throw error
      await sleep(250)
    }
  }
}

/** @returns whether it was answered, and not put off. */
async function once(ask: () => Promise<void>): Promise<boolean> {
  try {
    await ask()
    return true
  } catch (error) {
    if (error instanceof TooMuch) return false
    throw error
  }
}

async function rotate(users: number, times: number): Promise<undefined> {
  await Promise.all(
    virtualUsers.slice(0, users).map(async (user) => {
      for (let turn = 0; turn < times; turn += 1) await atLast(() => user.refresh())
    }),
  )
}

/**
 * Asks again and again, on each lane as soon as it has its answer.
 *
 * @param lanes each asks once, and says whether it got what it asked for or was put off.
 */
async function measure(lanes: readonly (() => Promise<boolean>)[], seconds: number): Promise<LoadFigures> {
  const latencies: number[] = []
  let answers = 0
  let putOff = 0
  const cpu = process.cpuUsage()
  const deadline = performance.now() + seconds * 1000
  await Promise.all(
    lanes.map(async (ask) => {
      for (let sent = performance.now(); sent < deadline; ) {
        const done = await ask()
        const received = performance.now()
        if (done) answers += 1
        else putOff += 1
        if (done && received <= deadline) latencies.push(received - sent)
        sent = received
      }
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  return {
    requestsPerSecond: latencies.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    answers,
    putOff,
    cpuMicroseconds: user + system,
  }
}

function refresh(users: number, seconds: number): Promise<LoadFigures> {
  return measure(
    virtualUsers.slice(0, users).map((user) => () => once(() => user.refresh())),
    seconds,
  )
}

async function signIns(task: Extract<Task, { kind: 'sign-ins' }>): Promise<LoadFigures> {
  const { url, dialect, usernames, atOnce, seconds } = task
  const users = Array.from({ length: atOnce }, () => new VirtualUser(url, dialect))
  let next = 0
  const figures = await measure(
    users.map((user) => () => {
      next += 1
      return once(() => user.signIn(usernames[next % usernames.length]!))
    }),
    seconds,
  )
  await Promise.all(users.map((user) => user.end()))
  return figures
}

function carryOut(task: Task): Promise<LoadFigures | undefined> {
  if (task.kind === 'sign-in') return signIn(task.url, task.dialect, task.usernames)
  if (task.kind === 'refresh') return refresh(task.users, task.seconds)
  if (task.kind === 'rotate') return rotate(task.users, task.times)
  return signIns(task)
}

process.on('message', (task: Task) => {
  carryOut(task).then(
    (figures) => process.send!({ figures }),
    (error: Error) => process.send!({ failure: error.message }),
  )
})
// The connections to the server would keep it alive.
process.on('disconnect', () => process.exit())
