import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { deploy } from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import { ask, claimsOf, postForm, tokensOf } from '../support/http-client.ts'
import { freePort } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { newWebhookSecret } from '../support/webhook-receiver.ts'

const PAGE = fileURLToPath(new URL('../../../docs/webhooks.md', import.meta.url))

t.test('the receiver of docs/webhooks.md', async (t) => {
  const [, program = ''] = /```js\n([\s\S]*?)```/.exec(readFileSync(PAGE, 'utf8')) ?? []
  const deployment = await deploy(t, 'lmdb')
  const path = join(deployment.cwd, 'receiver.mjs')
  writeFileSync(path, program)
  const port = String(await freePort())
  const secret = newWebhookSecret()
  const receiver = spawn(process.execPath, [path], {
    env: { PATH: process.env.PATH, PORT: port, WEBHOOK_SECRET: secret },
  })
  t.teardown(() => receiver.kill('SIGKILL'))
  let stdout = ''
  receiver.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const url = `http://127.0.0.1:${port}`
  const unsigned = await until('it listens', () => ask(url, { method: 'POST', body: '{}' }))
  t.equal(unsigned.status, 401, 'what is not signed is refused')

  await deployment.addClient('web', { scopes: ['read'] })
  const env = {
    VERIFY_WEBHOOK_URL: url,
    VERIFY_WEBHOOK_SECRET: secret,
    AUDIT_WEBHOOK_URL: url,
    AUDIT_WEBHOOK_SECRET: secret,
  }
  const server = await deployment.startServer(env)
  const tell = (to: string, username: string, password: string) =>
    postForm(`${to}/token`, { grant_type: 'password', client_id: 'web', username, password })
  const { access_token } = tokensOf(await tell(server.url, 'ada', 'correct horse'))
  t.match(claimsOf(access_token), { sub: '4711', role: 'admin' })
  expectOAuthError(t, await tell(server.url, 'ada', 'wrong'), 'invalid_grant')
  expectOAuthError(t, await tell(server.url, 'eve', 'correct horse'), 'invalid_grant')
  await until('it has the events', () => stdout.includes('sign_in.succeeded 4711\n'))

  const other = await deployment.startServer({ ...env, VERIFY_WEBHOOK_SECRET: newWebhookSecret() })
  expectProblem(t, await tell(other.url, 'ada', 'correct horse'), 503, 'a server with another secret')
})
