import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectUnavailable } from '../support/expect.ts'
import { postForm, signIn, tokensOf, tryRefresh } from '../support/http-client.ts'
import { pastLateStore } from '../support/late-store.ts'

const SIGN_INS = 400

for (const kind of STORE_KINDS) {
  t.test(`a flood of sign-ins, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    // The queue is what holds here, and not the budgets of failures.
    const server = await deployment.startServer({ SIGN_IN_FAILURES_PER_NETWORK: '1000' })
    let held = await signIn(server.url, ada)

    let flooding = true
    const flood = Promise.all(
      Array.from({ length: SIGN_INS }, (_, i) =>
        // Names that are there and names that are not are one to the queue.
        postForm(`${server.url}/token`, {
          grant_type: 'password',
          ...ada,
          ...(i % 2 && { username: `nobody ${i}` }),
        }),
      ),
    ).finally(() => {
      flooding = false
    })
    const waits: number[] = []
    while (flooding) {
      const begin = performance.now()
      const asking = () => tryRefresh(server.url, held.refresh_token, { client_id: 'ada' })
      held = tokensOf((await pastLateStore(asking)).answer)
      waits.push(performance.now() - begin)
      await sleep(20)
    }

    const answers = await flood
    const refused = answers.filter(({ status }) => status === 503)
    const served = answers.filter(({ status }) => status === 200)
    t.ok(refused.length > 0, `${refused.length} sign-ins are asked to come again`)
    for (const answer of refused.slice(0, 20)) expectUnavailable(t, answer)
    t.equal(refused.filter(({ text }) => text.includes('"error"')).length, 0)
    t.ok(served.length > 0, `${served.length} are served`)
    for (const answer of served) t.match(tokensOf(answer).refresh_token, /^prt_/)
    const others = answers.filter(
      ({ status, json }) => ![200, 503].includes(status) && json?.error !== 'invalid_grant',
    )
    t.strictSame(others, [], 'the rest were wrong')

    const median = [...waits].sort((a, b) => a - b)[waits.length >> 1] ?? 0
    t.ok(waits.length >= 5, `${waits.length} refreshes meanwhile, every one answered`)
    t.ok(median < 300, `in ${median.toFixed(1)} ms each (median)`)
    t.ok(await signIn(server.url, ada), 'afterwards all is as before')
    t.equal(server.stderr, '')
  })
}
