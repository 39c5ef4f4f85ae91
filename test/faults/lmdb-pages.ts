import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Random } from '../fuzz/random.ts'
import { count } from '../support/count.ts'
import { deploy } from '../support/deployment.ts'
import {
  type Answer,
  basic,
  type Credentials,
  claimsOf,
  postForm,
  refresh,
  signIn,
  tryRefresh,
} from '../support/http-client.ts'
import { pastLateStore } from '../support/late-store.ts'
import { type ServerProcess, startServer } from '../support/processes.ts'
import { beginSessions } from '../support/sessions.ts'
import { damagesTo, type PageDamage, pageSizeOf, pagesOf, recordsOn } from './page-damage.ts'

const SESSIONS = 400
/** Of as many sessions one. */
const REVOKED = 10
/** Sessions asked for that are not on the damaged page. */
const ELSEWHERE = 8
/** Longer than any answer takes, on a busy machine. */
const ANSWER_MS = 10_000

interface Session {
  readonly sid: string
  readonly client_id: string
  readonly sub: unknown
  readonly scope: unknown
  readonly token: string
  readonly access: string
  readonly isRevoked: boolean
}

/** A store as it was before anything was damaged. */
interface Whole {
  readonly file: Buffer
  readonly pageSize: number
  readonly sessions: readonly Session[]
  readonly ada: Credentials
  readonly web: { readonly authorization: string }
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

type Outcome = 'refused' | 'answered 503' | 'as before' | 'wrong'

/**
 * Damages the pages of a store one by one, starts a server on each, and asks what clients ask.
 *
 * @param most of the damages; all kinds come in turn.
 * @param limitMs after which no further one is begun.
 */
export async function holdPages(t: Test, most: number, limitMs: number, seed: number): Promise<void> {
  const whole = await wholeStore(t)
  const { file, pageSize } = whole
  const random = new Random(seed)
  const pages = pagesOf(file, pageSize)
  const all = pages.flatMap((page) => damagesTo(file, pageSize, page, pages, random))
  const counts: Record<Outcome, number> = {
    refused: 0,
    'answered 503': 0,
    'as before': 0,
    wrong: 0,
  }
  const end = performance.now() + limitMs
  let done = 0
  for (const damage of inTurn(all, random).slice(0, most)) {
    if (performance.now() > end) break
    const faults: string[] = []
    const seen = await outcomeOf(whole, damage, faults)
    const outcome = faults.length > 0 ? 'wrong' : seen
    t.strictSame(faults, [], `page ${damage.page}, ${damage.kind}: ${outcome}`)
    counts[outcome] += 1
    done += 1
  }
  t.ok(counts.refused > 0, 'most are found at the start')
  const { wrong, ...others } = counts
  const told = Object.entries(others).map(([outcome, times]) => `${outcome} ${times}`)
  count(t, { what: 'damaged pages', number: done, on: 'lmdb', violations: wrong, more: told.join(', ') })
}

/** One of each kind, then another of each, wherever they are. */
function inTurn(all: readonly PageDamage[], random: Random): PageDamage[] {
  const turns = new Map<string, number>()
  return all
    .map((damage) => ({ damage, at: random.below(2 ** 32) }))
    .sort((a, b) => a.at - b.at)
    .map(({ damage, at }) => {
      const turn = (turns.get(damage.kind) ?? 0) + 1
      turns.set(damage.kind, turn)
      return { damage, turn, at }
    })
    .sort((a, b) => a.turn - b.turn || a.at - b.at)
    .map(({ damage }) => damage)
}

async function wholeStore(t: Test): Promise<Whole> {
  const deployment = await deploy(t, 'lmdb', {
    env: { ISSUER: 'http://localhost:9000', MAX_SESSIONS_PER_USER: '0' },
  })
  const ada = await deployment.addAccount('ada')
  const bob = await deployment.addAccount('bob')
  for (let i = 0; i < 20; i += 1) await deployment.addClient(`other-${i}`)
  const web = basic(
    'web',
    await deployment.addConfidentialClient('web', {
      mayIntrospect: true,
      audiences: ['https://api.example.com'],
    }),
  )
  const server = await deployment.startServer()
  await signIn(server.url, ada)
  const sessions: Session[] = []
  for (const account of [ada, bob]) {
    const { client_id } = account
    const begun = await beginSessions(deployment, account, SESSIONS / 2)
    for (const [i, { refresh_token }] of begun.entries()) {
      const { access_token: access, refresh_token: token } = await refresh(server.url, refresh_token, {
        client_id,
      })
      const isRevoked = i % REVOKED === 0
      if (isRevoked) await postForm(`${server.url}/revoke`, { token, client_id })
      const { sid, sub, scope } = claimsOf(access)
      sessions.push({ sid: String(sid), client_id, sub, scope, token, access, isRevoked })
    }
  }
  await server.stop()
  await deployment.closeStore()
  const file = readFileSync(join(deployment.dataDir, 'data.mdb'))
  const { env, cwd } = deployment
  return { file, pageSize: pageSizeOf(file), sessions, ada, web, env, cwd }
}

/** @param faults gets what was wrong. */
async function outcomeOf(whole: Whole, { page, bytes }: PageDamage, faults: string[]): Promise<Outcome> {
  const { file, pageSize, env, cwd } = whole
  const folder = join(cwd, 'damaged')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  const path = join(folder, 'data.mdb')
  const damaged = Buffer.from(file)
  bytes.copy(damaged, page * pageSize)
  writeFileSync(path, damaged)
  let server: ServerProcess
  try {
    server = await startServer({ env: { ...env, STORE_URL: `lmdb:${folder}` }, cwd })
  } catch (error) {
    const { message } = error as Error
    if (!message.startsWith('the server ended')) faults.push(`it neither starts nor ends: ${message}`)
    else if (!message.includes(`${path} is damaged`) || message.includes('    at '))
      faults.push(`it ended, and not of refusing the file: ${message}`)
    if (!readFileSync(path).equals(damaged)) faults.push('it was refused, and written to')
    return 'refused'
  }
  const outcome = await askAll(whole, page, server, faults)
  const code = await server.stop()
  if (code !== 0) faults.push(`it ended with ${code}: ${server.stderr}`)
  return outcome
}

async function askAll(whole: Whole, page: number, server: ServerProcess, faults: string[]): Promise<Outcome> {
  const { file, pageSize, sessions, ada, web } = whole
  const { url } = server
  const content = file.subarray(page * pageSize, (page + 1) * pageSize)
  const records = recordsOn(content)
  const near = sessions.filter(({ sid }) => content.includes(sid))
  const far = sessions.filter((_, i) => i % Math.ceil(SESSIONS / ELSEWHERE) < 2)
  let unavailable = 0
  let isGone = false

  /** The family, the user (ids of families begin with the locator) or the client. */
  const isDamaged = ({ sid, client_id }: Session) =>
    records.some((key) => sid.startsWith(key) || key === client_id)

  async function expect(
    what: string,
    asking: () => Promise<Answer>,
    isRight: (answer: Answer) => boolean,
    mayBeUnavailable = true,
  ) {
    if (isGone) return undefined
    // A slow disk's 503 passes, and that of a record which cannot be read does not.
    const { answer } = await pastLateStore(asking, mayBeUnavailable ? 0 : 5).catch(() => ({
      answer: undefined,
    }))
    if (!answer) {
      isGone = true
      faults.push(`${what}: no answer`)
      return undefined
    }
    if (answer.ms > ANSWER_MS) faults.push(`${what}: ${answer.ms} ms`)
    if (answer.status === 503 && !(answer.json && 'error' in answer.json)) {
      unavailable += 1
      if (!mayBeUnavailable) faults.push(`${what}: 503, and no record of it is on that page`)
      return undefined
    }
    if (isRight(answer)) return answer
    faults.push(`${what}: ${answer.status} ${answer.text.slice(0, 200)}`)
    return undefined
  }

  /** Twice, since the first writes into what is damaged. */
  async function use(session: Session) {
    const { sid, client_id, sub, scope, access, isRevoked } = session
    let { token } = session
    for (let turn = 0; turn < 2; turn += 1) {
      const next = await expect(
        `a refresh of ${isRevoked ? 'a revoked' : 'a living'} session`,
        () => tryRefresh(url, token, { client_id }),
        ({ status, json }) => {
          if (isRevoked) return status === 400 && json?.error === 'invalid_grant'
          if (status !== 200) return false
          const claims = claimsOf(String(json?.access_token))
          return claims.sid === sid && claims.sub === sub && claims.scope === scope
        },
        isDamaged(session),
      )
      if (!next || isRevoked) return
      token = String(next.json?.refresh_token)
    }
    await expect(
      'an introspection',
      () => postForm(`${url}/introspect`, { token: access }, web),
      ({ status, json }) => {
        return status === 200 && json?.active === true && json.sub === sub && json.scope === scope
      },
      isDamaged(session) || records.includes('web'),
    )
  }
  await expect(
    'a sign-in',
    () => postForm(`${url}/token`, { grant_type: 'password', ...ada }),
    ({ status }) => status === 200,
  )
  await expect(
    'a wrong password',
    () => postForm(`${url}/token`, { grant_type: 'password', ...ada, password: 'wrong' }),
    ({ status, json }) => status === 400 && json?.error === 'invalid_grant',
  )
  await Promise.all([...new Set([...near, ...far])].map(use))
  const [first] = sessions.filter(({ isRevoked }) => !isRevoked)
  if (first) {
    const form = { token: first.token, client_id: first.client_id }
    await expect(
      'a revocation',
      () => postForm(`${url}/revoke`, form),
      ({ status }) => status === 200,
    )
  }
  return unavailable > 0 ? 'answered 503' : 'as before'
}
