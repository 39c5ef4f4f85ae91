import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { compare, expectAlike, pairs } from './enumeration.ts'

/** Of a sign-in, and of a client's authentication, which hashes no password. */
const ROUNDS = { signIn: 500, client: 3000 }

/**
 * The difference of the medians that is too much, in milliseconds. Over a network with 1 ms of noise, which is a quiet
 * one, 0.5 ms of 30 takes some hundred requests for each name, and budgets let through ten. That a client's record is
 * read, and none faster, is half of 0.1 ms on Redis; that no question is left out is counted by enumeration.test.
 */
const BOUND_MS = { signIn: 0.5, client: 0.1 }

for (const kind of STORE_KINDS) {
  t.test(`the times of what exists and of what does not, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind, {
      env: {
        TRUST_PROXY: '127.0.0.1',
        SIGN_IN_FAILURES_PER_ACCOUNT: '100000',
        SIGN_IN_FAILURES_PER_NETWORK: '100000',
        SIGN_IN_FAILURES_IN_TOTAL: '1000000',
      },
    })
    const all = await pairs(deployment)
    const server = await deployment.startServer()
    let first = 1
    for (const pair of all) {
      const cost = pair.name.includes('client') ? 'client' : 'signIn'
      await compare(server.url, pair, 50, first)
      const figures = await compare(server.url, pair, ROUNDS[cost], first + 1000)
      expectAlike(t, pair.name, figures, BOUND_MS[cost])
      t.comment(`figure: ${pair.name}, on ${kind}: ${JSON.stringify(figures)}`)
      first += 100_000
    }
  })
}
