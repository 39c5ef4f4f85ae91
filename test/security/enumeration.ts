import type { Test } from 'tap'
import type { Deployment } from '../support/deployment.ts'
import { type Answer, basic, type Form, type Headers, postForm } from '../support/http-client.ts'

/** Two requests that must not be told apart by anybody who does not know what they differ in. */
export interface Pair {
  readonly name: string
  /** A fresh request each time: the same one again would meet budgets and leases. */
  readonly existing: (round: number) => Asked
  readonly other: (round: number) => Asked
}

export interface Asked {
  readonly form: Form
  readonly headers: Headers
}

export const PASSWORD = 'the password of ada'

/** The network of its own that every request comes from, so that no budget of failures is ever spent. */
const from = (round: number) => ({
  'x-forwarded-for': `10.${(round >> 16) & 255}.${(round >> 8) & 255}.${round & 255}`,
})

/** Prepares what exists, and says what is compared with what does not. */
export async function pairs(deployment: Deployment): Promise<Pair[]> {
  await deployment.addClient('app', { scopes: ['read'] })
  await deployment.addConfidentialClient('web', { scopes: ['read'] })
  // As many as a run has rounds: the budget of one account is part of what could tell that it is there.
  await deployment.addUser('ada', PASSWORD)
  const gone = await deployment.addUser('gone', PASSWORD)
  await deployment.withStore((store) => store.users.change(gone, { disabled: true }))
  await deployment.closeStore()

  const signIn = (username: string, password: string) => (round: number) => ({
    form: { grant_type: 'password', client_id: 'app', username, password },
    headers: from(round),
  })
  const asClient = (clientId: string) => (round: number) => ({
    form: { grant_type: 'client_credentials' },
    headers: { ...basic(clientId, 'wrong'), ...from(round) },
  })
  return [
    {
      name: 'a user, and nobody, with a wrong password',
      existing: signIn('ada', 'a wrong password'),
      other: signIn('eve', 'a wrong password'),
    },
    {
      name: 'a disabled user, and nobody, with the right password',
      existing: signIn('gone', PASSWORD),
      other: signIn('nil!', PASSWORD),
    },
    { name: 'a client, and none, with a wrong secret', existing: asClient('web'), other: asClient('wex') },
  ]
}

export const ask = (url: string, { form, headers }: Asked): Promise<Answer> =>
  postForm(`${url}/token`, form, headers)

/** What an answer looks like from outside, but for the time of day. */
export function shapeOf({ status, headers, text }: Answer): unknown {
  const { date: _, ...others } = headers
  return { status, headers: others, text }
}

export interface Comparison {
  /** The median of the differences, in milliseconds; positive where what exists takes longer. */
  readonly shift: number
  /** Half of the interval around it that holds the true one with 99.9 %, in milliseconds. */
  readonly margin: number
  /** The median time of an answer, in milliseconds. */
  readonly usual: number
}

/**
 * Compares the times of both kinds of request, asked in turns, each first as often as second.
 *
 * The differences of neighbours are compared and not the times: what else the machine does meets both. Their median is
 * not moved by outliers, and the interval around it is that of the sign test, which assumes nothing about their shape.
 */
export async function compare(
  url: string,
  { existing, other }: Pair,
  rounds: number,
  first: number,
): Promise<Comparison> {
  const differences: number[] = []
  const times: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const requests = [existing(first + 2 * round), other(first + 2 * round + 1)]
    if (round % 2) requests.reverse()
    const answers = []
    for (const request of requests) answers.push((await ask(url, request)).ms)
    if (round % 2) answers.reverse()
    const [one = 0, two = 0] = answers
    differences.push(one - two)
    times.push(one, two)
  }
  differences.sort((a, b) => a - b)
  // Ranks of the order statistics between which the median is with 99.9 %, by the normal approximation.
  const reach = (3.29 * Math.sqrt(rounds)) / 2
  const at = (rank: number) => differences[Math.max(0, Math.min(rounds - 1, Math.round(rank)))] ?? 0
  return {
    shift: medianOf(differences),
    margin: (at(rounds / 2 + reach) - at(rounds / 2 - reach)) / 2,
    usual: medianOf(times.sort((a, b) => a - b)),
  }
}

const medianOf = (sorted: readonly number[]) => sorted[sorted.length >> 1] ?? 0

/** Holds the two kinds of request against each other. @param bound milliseconds that the median may differ by. */
export function expectAlike(
  t: Test,
  name: string,
  { shift, margin, usual }: Comparison,
  bound: number,
): void {
  const figures = `${shift.toFixed(3)} ms ± ${margin.toFixed(3)} of ${usual.toFixed(2)} ms`
  // A difference that is there and matters: its whole interval is beyond the bound.
  t.ok(Math.abs(shift) - margin < bound, `${name}: ${figures}, bound ${bound} ms`)
}
