import type { PeerClient } from './peer-client.ts'
import { type Spread, spreadOf } from './statistics.ts'

/** How many refresh at once with one token. */
const RACERS = 50

/** What becomes of a session when its refresh token is used more than once. */
export interface RaceFigures {
  readonly trials: number
  readonly racers: number
  /** Of the racers, how many were answered with tokens. */
  readonly answered: Spread
  /** Refresh tokens that live on side by side: each could be refreshed after the race, and what that gave once more. */
  readonly lineages: Spread
  /** Trials after which no token worked any more: the user has to sign in again. */
  readonly signedOut: number
  /** Trials of: the answer to a refresh is lost, and the client asks again with the token it has. */
  readonly lostAnswers: { readonly trials: number; readonly goOn: number }
  /** Trials of: a thief refreshes twice with a copy; then the owner comes with the first token. */
  readonly thefts: { readonly trials: number; readonly thiefStays: number }
}

export async function race(client: PeerClient, username: string, trials: number): Promise<RaceFigures> {
  const answered: number[] = []
  const lineages: number[] = []
  for (let trial = 0; trial < trials; trial += 1) {
    const { refreshToken } = await client.signIn(username)
    await openConnections(client)
    const answers = await Promise.all(Array.from({ length: RACERS }, () => client.refresh(refreshToken)))
    const tokens = answers.flatMap((answer) => answer?.refreshToken ?? [])
    answered.push(tokens.length)
    lineages.push(await livingAfter(client, new Set(tokens), 2))
  }
  return {
    trials,
    racers: RACERS,
    answered: spreadOf(answered),
    lineages: spreadOf(lineages),
    signedOut: lineages.filter((count) => count === 0).length,
    lostAnswers: await countTrials(trials, 'goOn', () => goesOnAfterLostAnswer(client, username)),
    thefts: await countTrials(trials, 'thiefStays', () => thiefStays(client, username)),
  }
}

/** One for each racer, so that none has to wait for a handshake. */
async function openConnections(client: PeerClient): Promise<void> {
  await Promise.all(Array.from({ length: RACERS }, () => client.refresh('junk')))
}

/** Follows each token for so many rounds, all of them round by round, and says how many are left. */
async function livingAfter(client: PeerClient, tokens: ReadonlySet<string>, rounds: number): Promise<number> {
  let living = [...tokens]
  for (let round = 0; round < rounds; round += 1) {
    const next: string[] = []
    for (const token of living) {
      const answer = await client.refresh(token)
      if (answer) next.push(answer.refreshToken)
    }
    living = next
  }
  return living.length
}

async function goesOnAfterLostAnswer(client: PeerClient, username: string): Promise<boolean> {
  const { refreshToken } = await client.signIn(username)
  await client.mustRefresh(refreshToken)
  const again = await client.refresh(refreshToken)
  return again !== undefined && (await client.refresh(again.refreshToken)) !== undefined
}

async function thiefStays(client: PeerClient, username: string): Promise<boolean> {
  const { refreshToken: stolen } = await client.signIn(username)
  const first = await client.mustRefresh(stolen)
  const second = await client.mustRefresh(first.refreshToken)
  await client.refresh(stolen)
  return (await client.refresh(second.refreshToken)) !== undefined
}

async function countTrials<K extends string>(trials: number, name: K, happens: () => Promise<boolean>) {
  let count = 0
  for (let trial = 0; trial < trials; trial += 1) if (await happens()) count += 1
  return { trials, [name]: count } as { trials: number } & Record<K, number>
}
