import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../test/support/until.ts'
import { PeerClient } from './peer-client.ts'
import { type Running, untilListening } from './peer-servers.ts'

const SESSIONS = 32
/** How long at most the server goes on when it has refreshed every session: the moment of its death is drawn. */
const MOST_MS = 200

/** Sessions whose server is killed under them while another on the same store goes on. */
export interface KillFigures {
  /** Over all trials. */
  readonly sessions: number
  /** Of them, those that the other server refused: their users have to sign in again. */
  readonly lost: number
}

/** One of two servers gets SIGKILL while all sessions refresh there as fast as they can; each then asks the other. */
export async function measureKill(running: Running, trials: number): Promise<KillFigures> {
  const other = new PeerClient(running, running.server.url)
  const usernames = running.usernames.slice(0, SESSIONS)
  let tokens: (string | undefined)[] = usernames.map(() => undefined)
  let lost = 0
  try {
    for (let trial = 0; trial < trials; trial += 1) {
      const begun: string[] = []
      for (const [i, username] of usernames.entries()) {
        begun.push(tokens[i] ?? (await other.signIn(username)).refreshToken)
      }
      const last = await refreshUntilKilled(running, begun)
      tokens = await Promise.all(last.map(async (token) => (await other.refresh(token))?.refreshToken))
      lost += tokens.filter((token) => token === undefined).length
    }
  } finally {
    await other.close()
  }
  return { sessions: trials * SESSIONS, lost }
}

/** @returns for each session the refresh token that its client got last. */
async function refreshUntilKilled(running: Running, tokens: readonly string[]): Promise<string[]> {
  const server = await running.another()
  const client = new PeerClient(running, server.url)
  try {
    await untilListening(server)
    const refreshed = new Set<number>()
    const sessions = tokens.map(async (begun, session) => {
      for (let token = begun; ; ) {
        try {
          token = (await client.refresh(token))?.refreshToken ?? token
          refreshed.add(session)
        } catch {
          return token
        }
      }
    })
    await until('every session has been refreshed', () => refreshed.size === tokens.length)
    await sleep(Math.random() * MOST_MS)
    process.kill(server.pid, 'SIGKILL')
    return await Promise.all(sessions)
  } finally {
    await client.close()
    await server.stop()
  }
}
