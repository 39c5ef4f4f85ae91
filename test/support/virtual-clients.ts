import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Tokens, tryRefresh } from './http-client.ts'
import { until } from './until.ts'

const RETRY_MS = 20

/**
 * Clients that refresh without pause, each its own session with the token it got last, and that do what good clients
 * do about trouble: on a 503 or a cut connection they ask again with the token they hold.
 */
export interface VirtualClients {
  /** Refreshes that were answered with tokens. */
  readonly turns: number
  /** Requests that came to nothing for a reason that may pass. */
  readonly troubles: number
  /** Answers that sign a client out, or that none of ours should ever see. */
  readonly refusals: readonly Answer[]
  /** Waits until every client has had an answer, to a question asked from now on, that is good. */
  eachTurned(): Promise<void>
  stop(): Promise<void>
}

/** @param urls the servers, which the clients use in turn. */
export function startClients(
  urls: readonly string[],
  clientId: string,
  sessions: readonly Pick<Tokens, 'refresh_token'>[],
): VirtualClients {
  let turns = 0
  let troubles = 0
  let stopped = false
  const refusals: Answer[] = []
  const turnsOf = sessions.map(() => 0)

  async function run(session: Pick<Tokens, 'refresh_token'>, i: number): Promise<void> {
    let held = session.refresh_token
    for (let attempt = i; !stopped; attempt += 1) {
      const url = urls[attempt % urls.length] ?? ''
      const answer = await tryRefresh(url, held, { client_id: clientId }).catch(() => undefined)
      if (answer?.status === 200) {
        held = String(answer.json?.refresh_token)
        turns += 1
        turnsOf[i] = (turnsOf[i] ?? 0) + 1
      } else if (
        answer === undefined ||
        (answer.status === 503 && !('error' in (answer.json ?? { error: '' })))
      ) {
        troubles += 1
        await sleep(RETRY_MS)
      } else {
        refusals.push(answer)
        return
      }
    }
  }
  const running = Promise.all(sessions.map(run))

  return {
    get turns() {
      return turns
    },
    get troubles() {
      return troubles
    },
    refusals,
    async eachTurned() {
      // The answer after the next may already be to a question that was asked before.
      const enough = turnsOf.map((count) => count + 2)
      await until(
        'every client continued',
        () => refusals.length > 0 || turnsOf.every((count, i) => count >= (enough[i] ?? 0)),
      )
    },
    async stop() {
      stopped = true
      await running
    },
  }
}
