import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { until } from '../support/until.ts'
import { basicOf, type Context } from './context.ts'
import { CANARY, type Ingredients, octetsOf, requestOf } from './grammar.ts'
import { REGRESSIONS } from './regressions.ts'
import type { Row } from './row.ts'

/** The same requests at every run, unless told otherwise: CONFORMANCE_SEED=7 npm test. */
const SEED = Number(process.env.CONFORMANCE_SEED ?? 20_261_120)
/** On each of the two stores, 10,000 in all. */
const REQUESTS = 5000
const AT_ONCE = 250
/** After this time without an answer the rest of a request is not awaited any more: it was cut short on purpose. */
const PATIENCE_MS = 1000
const ANSWER_MS = 20_000
const STORE_CHANGE = /"store":"(?:un)?reachable"/
/** So often a request that was turned away for a time is sent again. */
const TURNS = 5

const OAUTH_ERRORS = new Set([
  ...['invalid_request', 'invalid_client', 'invalid_grant', 'unauthorized_client'],
  ...['unsupported_grant_type', 'unsupported_token_type', 'invalid_scope'],
])

/** The row on generated requests. */
export const GENERATED: readonly Row[] = [
  {
    id: 'C49',
    alone: true,
    title: 'generated requests: never a 5xx, a stack trace or an echo',
    async hold(t, context) {
      for (const [name, { octets }] of Object.entries(REGRESSIONS)) {
        t.equal(await faultOf(context.server.port, octets), undefined, `regression: ${name}`)
      }
      const begin = performance.now()
      const { sent, statuses, faults } = await sendGenerated(context, REQUESTS, SEED)
      t.strictSame(faults, [], `seed ${SEED}`)
      t.equal(sent, REQUESTS)
      const seconds = (performance.now() - begin) / 1000
      const counts = [...statuses].sort().map(([status, count]) => `${status}: ${count}`)
      t.comment(`${sent} requests in ${seconds.toFixed(1)} s, seed ${SEED}; answers ${counts.join(', ')}`)
      const often = ['200', '400', '401', '404', '405'].every(
        (status) => Number(statuses.get(status)) > REQUESTS / 100,
      )
      t.ok(often, 'near enough to valid: each class of answer is more than one in a hundred')

      await until('the store is back after each silence', () => isStoreBack(context))
      t.strictSame(logFaults(context), [])
      t.ok(await context.signIn(), 'and it serves on')
    },
  },
]

/** Sends so many requests that are nearly valid. @returns what was wrong with the answers, and how often each status came. */
export async function sendGenerated({ server, web, signIn }: Context, requests: number, seed: number) {
  // Of two sessions, so that a revocation among the requests does not end every refresh after it.
  const [{ refresh_token }, { access_token }] = [await signIn(web), await signIn(web)]
  const ingredients: Ingredients = { web, basic: basicOf(web).authorization, refresh_token, access_token }
  const statuses = new Map<string, number>()
  const faults: string[] = []
  let sent = 0
  const batches = fc.array(requestOf(ingredients), { minLength: AT_ONCE, maxLength: AT_ONCE })
  for (const batch of fc.sample(batches, { seed, numRuns: Math.ceil(requests / AT_ONCE) })) {
    const turnedAway: Buffer[] = []
    await Promise.all(
      batch.map(async (request) => {
        const octets = octetsOf(request, networkOf(sent))
        sent += 1
        const fault = await faultOf(server.port, octets, (status) =>
          statuses.set(status, (statuses.get(status) ?? 0) + 1),
        )
        if (fault?.startsWith('a 503')) turnedAway.push(octets)
        else if (fault !== undefined) faults.push(toldOf(fault, octets))
      }),
    )
    // Where the machine has more to do than this, it may be for that: alone they must be answered.
    for (const octets of turnedAway) {
      let fault: string | undefined = 'a 503'
      for (let turn = 0; turn < TURNS && fault?.startsWith('a 503'); turn += 1) {
        if (turn > 0) await sleep(1000)
        fault = await faultOf(server.port, octets)
      }
      if (fault !== undefined) faults.push(toldOf(fault, octets))
    }
  }
  return { sent, statuses, faults }
}

const toldOf = (fault: string, octets: Buffer) => `${fault}; octets: ${octets.toString('latin1')}`

/** Whether the last that was told of the store, if anything, is that it is reachable. */
function isStoreBack({ server }: Pick<Context, 'server'>): boolean {
  return !server.lines.findLast((line) => STORE_CHANGE.test(line))?.includes('"store":"unreachable"')
}

/**
 * What of the generated requests shows in the server's log and must not. A request turned away for want of time is told as
 * an error, rightly, and so is a store that is silent for a while.
 */
export function logFaults({ server }: Pick<Context, 'server'>): string[] {
  const log = server.lines.join('\n') + server.stderr
  const errors = server.lines.filter(
    (line) => /"level":[56]0/.test(line) && !/"status":503\b/.test(line) && !STORE_CHANGE.test(line),
  )
  return [
    ...(new RegExp(CANARY, 'i').test(log) ? ['an echo in the log'] : []),
    ...errors.map((line) => `an error in the log: ${line}`),
    ...(server.stderr === '' ? [] : [`standard error: ${server.stderr}`]),
  ]
}

/** A network for each request: failures are counted by network, and the 429 of all would hide the rest. */
function networkOf(count: number): string {
  return `10.${(count >> 8) & 255}.${count & 255}.9`
}

/** Sends octets and returns what comes back until the connection is closed. */
async function exchange(port: number, octets: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received += text
  })
  // A reset after the answer is an answer all the same.
  socket.on('error', () => {})
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('timeout')))
  socket.write(octets)
  const patience = setTimeout(() => received === '' && socket.end(), PATIENCE_MS)
  await once(socket, 'close').catch(() => {})
  clearTimeout(patience)
  return socket.errored?.message === 'timeout' ? `no answer within ${ANSWER_MS} ms` : received
}

/** Sends a request and says what is wrong with the answer; undefined when nothing is. */
async function faultOf(
  port: Context['server']['port'],
  octets: Buffer,
  note: (status: string) => void = () => {},
): Promise<string | undefined> {
  const received = await exchange(port, octets)
  if (new RegExp(CANARY, 'i').test(received)) return `an echo: ${received}`
  if (/node_modules|\.[jt]s:\d+|\bat [\w.]+ \(|node:internal/.test(received))
    return `a stack trace: ${received}`
  // A request that is cut short has no answer but the closed connection.
  if (received === '') {
    note('none')
    return undefined
  }
  const answers = received.split(/(?=HTTP\/1\.1 \d{3} )/)
  for (const answer of answers) {
    const [head = '', ...rest] = answer.split('\r\n\r\n')
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]
    if (status === undefined) return `no HTTP: ${received}`
    note(status)
    if (status >= '500') return `a ${status}: ${received}`
    const fault = status >= '400' && familyFault(head, rest.join('\r\n\r\n'))
    if (fault) return `${fault}: ${received}`
  }
  return undefined
}

/** What keeps an error from being of one of the two families. */
function familyFault(head: string, body: string): string | undefined {
  const type = /^content-type: (.*)$/im.exec(head)?.[1]?.trim() ?? ''
  // The answer to HEAD, and what Node refuses by itself.
  if (body === '' || body.startsWith('0\r\n')) return undefined
  let json: Record<string, unknown>
  try {
    json = JSON.parse(body)
  } catch {
    return 'an error that is not JSON'
  }
  if (type.startsWith('application/problem+json'))
    return 'error' in json ? 'a problem with an error member' : undefined
  if (!type.startsWith('application/json')) return `an error of type ${type}`
  if (!OAUTH_ERRORS.has(String(json.error))) return 'an unknown error code'
  return /^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/.test(String(json.error_description)) ? undefined : 'a description'
}
