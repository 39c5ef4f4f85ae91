import { type Answer, type Credentials, claimsOf, postForm, tryRefresh } from '../support/http-client.ts'

/** One request of a history. Sessions and tokens go by aliases, `s3` and `s3.1`; times are milliseconds since it began. */
export interface Entry {
  readonly kind: 'sign_in' | 'refresh' | 'revoke'
  /** Whose request it is. */
  readonly user: string | undefined
  readonly session: string | undefined
  readonly presented: string | undefined
  readonly sentAt: number
  /** When its answer was there, or it was known that none would come. */
  readonly overAt: number
  /** `undefined`: the answer was lost, and what became of the request is not known. */
  readonly status: number | undefined
  /** The member `error` of the answer, which means to a client that its session is over (RFC 6749 section 5.2). */
  readonly error: string | undefined
  readonly received: string | undefined
}

/** A time in which something was wrong. */
export interface Fault {
  readonly name: string
  readonly from: number
  /** When the store was there again for refreshes: the same, or earlier where a store goes on with less than it had. */
  readonly returnedAt: number
  /** When the cause was gone. */
  readonly until: number
}

/** Everything that happened, for `checkHistory` to judge afterwards. */
export interface History {
  readonly entries: readonly Entry[]
  readonly faults: readonly Fault[]
  /** The sessions that the audit trail says were ended for reuse. */
  readonly reuses: readonly string[]
}

/** Makes requests and writes down what becomes of each. */
export interface Recorder {
  signIn(url: string, credentials: Credentials): Promise<string | undefined>
  /** @returns the successor, `undefined` where there is none to be had now, `null` where the session is over. */
  refresh(url: string, token: string, clientId: string): Promise<string | undefined | null>
  revoke(url: string, token: string, clientId: string): Promise<boolean>
  /** Has something be wrong until `work` is over; it may say before that the store is there again for refreshes. */
  fault(name: string, work: (returned: () => void) => Promise<void>): Promise<void>
  now(): number
  /** @param reusedSids those of the audit trail's `refresh.reuse`. */
  history(reusedSids: readonly string[]): History
}

export function startRecorder(): Recorder {
  const begin = performance.now()
  const entries: Entry[] = []
  const faults: Fault[] = []
  const sessions = new Map<string, string>()
  const tokens = new Map<string, string>()
  const users = new Map<string, string>()
  const counts = new Map<string, number>()
  const now = () => performance.now() - begin

  const sessionOf = (token: string) => tokens.get(token)?.split('.')[0]

  function aliasOf(token: string, session: string): string {
    const known = tokens.get(token)
    if (known !== undefined) return known
    const count = counts.get(session) ?? 0
    counts.set(session, count + 1)
    const alias = `${session}.${count}`
    tokens.set(token, alias)
    return alias
  }

  async function ask(
    kind: Entry['kind'],
    presented: string | undefined,
    username: string | undefined,
    question: () => Promise<Answer>,
  ): Promise<Answer | undefined> {
    const sentAt = now()
    const answer = await question().catch(() => undefined)
    const token = answer?.status === 200 ? answer.json?.refresh_token : undefined
    let session = presented === undefined ? undefined : sessionOf(presented)
    if (token !== undefined) {
      const sid = String(claimsOf(String(answer?.json?.access_token)).sid)
      if (!sessions.has(sid)) sessions.set(sid, `s${sessions.size}`)
      session = sessions.get(sid)
      if (username !== undefined) users.set(session!, username)
    }
    entries.push({
      kind,
      user: username ?? users.get(session!),
      session,
      presented: presented === undefined ? undefined : tokens.get(presented),
      sentAt,
      overAt: now(),
      status: answer?.status,
      error: answer?.json && 'error' in answer.json ? String(answer.json.error) : undefined,
      received: token === undefined ? undefined : aliasOf(String(token), session!),
    })
    return answer
  }

  return {
    async signIn(url, credentials) {
      const form = { grant_type: 'password', ...credentials }
      const answer = await ask('sign_in', undefined, credentials.username, () =>
        postForm(`${url}/token`, form),
      )
      return answer?.status === 200 ? String(answer.json?.refresh_token) : undefined
    },
    async refresh(url, token, clientId) {
      const answer = await ask('refresh', token, undefined, () =>
        tryRefresh(url, token, { client_id: clientId }),
      )
      if (answer?.status === 200) return String(answer.json?.refresh_token)
      return answer?.json && 'error' in answer.json ? null : undefined
    },
    async revoke(url, token, clientId) {
      const form = { token, client_id: clientId }
      const answer = await ask('revoke', token, undefined, () => postForm(`${url}/revoke`, form))
      return answer?.status === 200
    },
    async fault(name, work) {
      const from = now()
      let returnedAt: number | undefined
      await work(() => {
        returnedAt ??= now()
      })
      const until = now()
      faults.push({ name, from, returnedAt: returnedAt ?? until, until })
    },
    now,
    history: (reusedSids) => ({
      entries,
      faults,
      reuses: reusedSids.map((sid) => sessions.get(sid) ?? `unknown ${sid}`),
    }),
  }
}
