import { Client } from 'undici'
import { CLIENT, PASSWORD, USER_AGENT } from './registration.ts'
import { quantile } from './statistics.ts'

export type Task =
  | { readonly kind: 'sign-in'; readonly url: string; readonly usernames: readonly string[] }
  | { readonly kind: 'refresh'; readonly users: number; readonly seconds: number }

export interface LoadFigures {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers, those included that came after the time was up. */
  readonly answers: number
  /** Processor time of this process. */
  readonly cpuMicroseconds: number
}

/** A connection of its own, one request at a time, and the refresh token that it got last. */
class VirtualUser {
  readonly #http: Client
  #refreshToken = ''

  constructor(url: string) {
    this.#http = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000 })
  }

  async signIn(username: string): Promise<void> {
    await this.#ask({ grant_type: 'password', client_id: CLIENT.clientId, username, password: PASSWORD })
  }

  async refresh(): Promise<void> {
    const refresh_token = this.#refreshToken
    await this.#ask({ grant_type: 'refresh_token', client_id: CLIENT.clientId, refresh_token })
  }

  async #ask(form: Record<string, string>): Promise<void> {
    const { statusCode, body } = await this.#http.request({
      method: 'POST',
      path: '/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': USER_AGENT },
      body: new URLSearchParams(form).toString(),
    })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`${form.grant_type}: status ${statusCode}: ${text}`)
    const { refresh_token } = JSON.parse(text) as { refresh_token?: string }
    if (!refresh_token || refresh_token === this.#refreshToken) {
      throw new Error(`${form.grant_type}: the answer holds no new refresh token`)
    }
    this.#refreshToken = refresh_token
  }
}

/** Few enough that the queue of password hashes has room for them all. */
const SIGN_INS_AT_ONCE = 8

let virtualUsers: VirtualUser[] = []

async function signIn(url: string, usernames: readonly string[]): Promise<undefined> {
  virtualUsers = usernames.map(() => new VirtualUser(url))
  const waiting = [...usernames.entries()]
  const one = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) await virtualUsers[next[0]]!.signIn(next[1])
  }
  await Promise.all(Array.from({ length: SIGN_INS_AT_ONCE }, one))
}

async function refresh(users: number, seconds: number): Promise<LoadFigures> {
  const latencies: number[] = []
  let answers = 0
  const cpu = process.cpuUsage()
  const deadline = performance.now() + seconds * 1000
  await Promise.all(
    virtualUsers.slice(0, users).map(async (user) => {
      for (let sent = performance.now(); sent < deadline; ) {
        await user.refresh()
        answers += 1
        const received = performance.now()
        if (received <= deadline) latencies.push(received - sent)
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
    cpuMicroseconds: user + system,
  }
}

function carryOut(task: Task): Promise<LoadFigures | undefined> {
  return task.kind === 'sign-in' ? signIn(task.url, task.usernames) : refresh(task.users, task.seconds)
}

process.on('message', (task: Task) => {
  carryOut(task).then(
    (figures) => process.send!({ figures }),
    (error: Error) => process.send!({ failure: error.message }),
  )
})
// The connections to the server would keep it alive.
process.on('disconnect', () => process.exit())
