import { setTimeout as sleep } from 'node:timers/promises'
import type { Credentials } from '../support/http-client.ts'
import { until } from '../support/until.ts'
import type { Recorder } from './history.ts'

/**
 * What the servers of a load are told. One account signs in here as often as a crowd does, from one network; ten sign-ins of
 * which a fault left nothing known would hold its budget for 15 to 30 s (docs/guessing-defence.md).
 */
export const LOAD_ENV = { ISSUER: 'http://localhost:9000', SIGN_IN_FAILURES_PER_ACCOUNT: '1000' }
const RETRY_MS = 20
/** Turns after which a session is ended, unless told otherwise. */
const TURNS = 40
/** Where they share an account. */
const CLIENTS = 6

/** Clients who sign in, refresh without pause, sign out and try what they had once more; all of it is recorded. */
export interface Load {
  /** Waits until every client has been answered well, to a question asked from now on. */
  eachTurned(after: string): Promise<void>
  stop(): Promise<void>
}

/**
 * @param urls the servers, which the clients use in turn; looked at anew for each request.
 * @param accounts one for each client, or one for all of them; the records of one are all in one slot of a cluster.
 * @param turnsOf turns after which a client's session is ended in good order and another begun.
 */
export function startLoad(
  recorder: Recorder,
  urls: () => readonly string[],
  accounts: Credentials | readonly Credentials[],
  turnsOf = (_client: number) => TURNS,
): Load {
  const all = [accounts].flat()
  let stopped = false
  let requests = 0
  const turns = Array.from({ length: all.length > 1 ? all.length : CLIENTS }, () => 0)
  const url = () => urls()[requests++ % urls().length] ?? ''

  /** Asks until it is known what becomes of it, as good clients do about trouble. */
  async function insist<T>(ask: () => Promise<T | undefined>): Promise<T | undefined> {
    while (!stopped) {
      const answer = await ask()
      if (answer !== undefined) return answer
      await sleep(RETRY_MS)
    }
    return undefined
  }

  async function session(i: number): Promise<void> {
    const account = all[i % all.length]!
    const { client_id } = account
    let held: string | null | undefined = await insist(() => recorder.signIn(url(), account))
    for (let turn = 0; turn < turnsOf(i) && !stopped && held; turn += 1) {
      const token: string = held
      held = await insist<string | null>(() => recorder.refresh(url(), token, client_id))
      turns[i] = (turns[i] ?? 0) + 1
    }
    if (stopped || !held) return
    const token = held
    await insist(async () => (await recorder.revoke(url(), token, client_id)) || undefined)
    await insist<string | null>(() => recorder.refresh(url(), token, client_id))
  }
  const running = turns.map(async (_, i) => {
    while (!stopped) await session(i)
  })

  return {
    async eachTurned(after) {
      const enough = turns.map((count) => count + 2)
      await until(
        `every client went on after ${after}: ${turns}`,
        () => turns.every((count, i) => count >= enough[i]!),
        20_000,
      )
    },
    async stop() {
      stopped = true
      await Promise.all(running)
    },
  }
}
