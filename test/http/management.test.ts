import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectProblem } from '../support/expect.ts'
import { ask } from '../support/http-client.ts'

for (const kind of STORE_KINDS) {
  t.test(`the management listener, on ${kind}`, async (t) => {
    const { url, managementUrl } = await (await deploy(t, kind)).startServer()
    for (const [path, status] of [
      ['/health/live', 'live'],
      ['/health/ready', 'ready'],
    ] as const) {
      const answer = await ask(managementUrl + path)
      t.match(answer, { status: 200, json: { status }, headers: { 'cache-control': 'no-store' } }, path)
      expectProblem(t, await ask(url + path), 404, `${path} is not on the public listener`)
      expectProblem(t, await ask(managementUrl + path, { method: 'POST' }), 405, `POST ${path}`)
    }
    expectProblem(t, await ask(`${managementUrl}/token`, { method: 'POST' }), 404, 'no tokens there')
    expectProblem(t, await ask(`${managementUrl}/.well-known/jwks.json`), 404, 'no keys there')
  })
}
