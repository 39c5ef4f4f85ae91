/** The life of one session, told with plain fetch. `node client.js --help` lists what it needs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const usage = `node client.js [--json]

flag             variable       default
--issuer         ISSUER         http://localhost:9000
--api            API            http://127.0.0.1:9100
--client-id      CLIENT_ID
--client-secret  CLIENT_SECRET  none: a public client
--username       USERNAME
--password       PASSWORD
--grace          GRACE          30, the issuer's REFRESH_TOKEN_GRACE in seconds`

const text = { type: 'string' }
const flag = { type: 'boolean', default: false }
const { env } = process
const { values: given } = parseArgs({
  options: {
    issuer: text,
    api: text,
    'client-id': text,
    'client-secret': text,
    username: text,
    password: text,
    grace: text,
    json: flag,
    help: flag,
  },
})
const issuer = given.issuer ?? env.ISSUER ?? 'http://localhost:9000'
const api = given.api ?? env.API ?? 'http://127.0.0.1:9100'
const client_id = given['client-id'] ?? env.CLIENT_ID
const client_secret = given['client-secret'] ?? env.CLIENT_SECRET
const username = given.username ?? env.USERNAME
const password = given.password ?? env.PASSWORD
const grace = Number(given.grace ?? env.GRACE ?? 30)

if (given.help || !client_id || !username || !password || !(grace >= 0)) {
  console.log(usage)
  process.exit(given.help ? 0 : 64)
}

const signal = () => AbortSignal.timeout(10_000)

/** A token request, RFC 6749: the client authenticates by Basic, or only names itself when it is public. */
function token(grant) {
  const headers = {}
  if (client_secret) {
    const pair = [client_id, client_secret].map(encodeURIComponent).join(':')
    headers.authorization = `Basic ${btoa(pair)}`
  }
  const body = new URLSearchParams(client_secret ? grant : { ...grant, client_id })
  return fetch(`${issuer}/token`, { method: 'POST', headers, body, signal: signal() })
}

const signIn = () => token({ grant_type: 'password', username, password })
const refresh = (refresh_token) => token({ grant_type: 'refresh_token', refresh_token })
const hello = (access_token) =>
  fetch(`${api}/hello`, { headers: { authorization: `Bearer ${access_token}` }, signal: signal() })

/** What an answer says, without any token in it: `200`, `400 invalid_grant`, `401 invalid_token`. */
function inShort(response, body) {
  const challenge = response.headers.get('www-authenticate') ?? ''
  const code = body.error ?? /error="(\w+)"/.exec(challenge)?.[1]
  return [response.status, code].filter(Boolean).join(' ')
}

async function attempt(request) {
  try {
    const response = await request
    const body = await response.json().catch(() => ({}))
    return { seen: inShort(response, body), body }
  } catch (error) {
    return { seen: `no answer (${error.cause?.code ?? error.name})`, body: {} }
  }
}

/** One step of the story. The story ends at the first step that goes another way. */
async function step(name, expected, request) {
  const { seen, body } = await attempt(request)
  const ok = seen === expected
  console.log(
    given.json
      ? JSON.stringify({ step: name, expected, seen, ok })
      : `${ok ? '✓' : '✗'} ${name.padEnd(42)} expected ${expected.padEnd(18)} saw ${seen}`,
  )
  if (!ok) process.exit(1)
  return body
}

/** A second more than asked for: the clocks of issuer and API count in whole seconds. */
async function wait(seconds, why) {
  if (!given.json) console.log(`  … ${seconds + 1} s, until ${why}`)
  await sleep((seconds + 1) * 1000)
}

const first = await step('sign in', '200', signIn())
await step('call the API', '200', hello(first.access_token))

await wait(first.expires_in, 'the access token expires')
await step('call the API, the access token expired', '401 invalid_token', hello(first.access_token))

const second = await step('refresh', '200', refresh(first.refresh_token))
await step('call the API, the new access token', '200', hello(second.access_token))

await wait(grace, 'the grace for the old refresh token is over')
await step('replay the old refresh token', '400 invalid_grant', refresh(first.refresh_token))
await step('refresh with the newest: session ended', '400 invalid_grant', refresh(second.refresh_token))

await step('sign in again', '200', signIn())
