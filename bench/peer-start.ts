import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeerClient } from './peer-client.ts'
import type { Running } from './peer-servers.ts'
import { type Spread, spreadOf } from './statistics.ts'

const GIVE_UP_MS = 20_000

/**
 * Milliseconds from the start of the process to the answer to a first refresh, of a session that began before: a second
 * server on the same store and keys, as after a restart.
 */
export async function measureStart(running: Running, times: number): Promise<Spread> {
  const ms: number[] = []
  const first = new PeerClient(running, running.server.url)
  let { refreshToken } = await first.signIn(running.usernames[0]!)
  await first.close()
  for (let time = 0; time < times; time += 1) {
    const begun = performance.now()
    const server = await running.another()
    const client = new PeerClient(running, server.url)
    try {
      await listening(Number(new URL(server.url).port), begun + GIVE_UP_MS)
      refreshToken = await firstRefresh(client, refreshToken, begun + GIVE_UP_MS)
      ms.push(performance.now() - begun)
    } finally {
      await client.close()
      await server.stop()
    }
  }
  return spreadOf(ms)
}

async function listening(port: number, deadline: number): Promise<void> {
  while (performance.now() < deadline) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await sleep(2)
    } finally {
      socket.destroy()
    }
  }
  throw new Error('the server did not start to listen')
}

/** A server may listen before it has reached its store; a refusal of that kind leaves the token as it is. */
async function firstRefresh(client: PeerClient, refreshToken: string, deadline: number): Promise<string> {
  while (performance.now() < deadline) {
    const answer = await client.refreshAtOnce(refreshToken)
    if (answer) return answer.refreshToken
    await sleep(2)
  }
  return (await client.mustRefresh(refreshToken)).refreshToken
}
