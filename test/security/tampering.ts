import type { Test } from 'tap'
import { count } from '../support/count.ts'
import { type Deployment, deploy, type StoreKind } from '../support/deployment.ts'
import {
  type Answer,
  basic,
  claimsOf,
  postForm,
  refresh,
  signIn,
  tryRefresh,
} from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'
import { type Damage, type Vandal, vandalOf } from './vandal.ts'

const ISSUER = 'http://localhost:9000'
const TTL = 300
const CLIENT = { client_id: 'app' }
const ADA = { username: 'ada', password: 'the password of ada' }
/** A sign-in costs a hash, so only so many of them in a short run. */
const SIGN_INS = 8
const LISTINGS = 1

/** What an honest answer to this session can hold. */
interface Rights {
  readonly sub: string
  readonly scope: readonly string[]
  /** What the client may ask for: a record that grants more than the session had may be believed up to here. */
  readonly registered: readonly string[]
  readonly audience: readonly string[]
}

/**
 * Damages the records of a store one by one, asks whatever a client can ask, and puts them back.
 *
 * @param share of the damages, from 0 to 1; the rest is left out, evenly.
 */
export async function tamper(t: Test, kind: StoreKind, share: number): Promise<void> {
  const deployment = await deploy(t, kind, {
    env: {
      ISSUER,
      ACCESS_TOKEN_TTL: String(TTL),
      MAX_SESSIONS_PER_USER: '20',
      SIGN_IN_FAILURES_PER_ACCOUNT: '10000',
      SIGN_IN_FAILURES_PER_NETWORK: '100000',
      SIGN_IN_FAILURES_IN_TOTAL: '100000',
    },
  })
  await deployment.addClient('app', { scopes: ['read', 'write'] })
  await deployment.addClient('other', { scopes: ['read', 'admin'], audiences: ['https://elsewhere.example'] })
  const secret = await deployment.addConfidentialClient('web', {
    scopes: ['read', 'admin'],
    mayIntrospect: true,
  })
  const sub = await deployment.addUser('ada', ADA.password)
  await deployment.addUser('bob', ADA.password)
  const gone = await deployment.addUser('gone', ADA.password)
  await deployment.closeStore()
  const server = await deployment.startServer()
  const web = basic('web', secret)

  const victim = await signIn(server.url, { ...CLIENT, ...ADA }, 'read')
  let held = await refresh(server.url, victim.refresh_token, CLIENT)
  const revoked = await signIn(server.url, { ...CLIENT, ...ADA }, 'read')
  await postForm(`${server.url}/revoke`, { ...CLIENT, token: revoked.refresh_token })
  const disabled = await signIn(server.url, { ...CLIENT, username: 'gone', password: ADA.password })
  await deployment.withStore((store) => store.users.change(gone, { disabled: true, epoch: 1 }))
  await deployment.closeStore()
  // What others have: it can be swapped in, and it must not suffer.
  const bobs = { client_id: 'other', username: 'bob', password: ADA.password }
  let others = await signIn(server.url, bobs)
  await signIn(server.url, { client_id: 'other', ...ADA })

  const rights: Rights = { sub, scope: ['read'], registered: ['read', 'write'], audience: [ISSUER] }
  const sid = String(claimsOf(held.access_token).sid)
  const vandal = vandalOf(deployment)
  t.teardown(() => vandal.close())
  const counts = { damages: 0, refused: 0, unavailable: 0, honest: 0 }

  const check = (damage: Damage, asked: string, answer: Answer, allowed: Rights | undefined) => {
    const fault = faultOf(answer, allowed, damage, asked)
    if (answer.status === 503) counts.unavailable += 1
    else if (answer.status === 200) counts.honest += 1
    else counts.refused += 1
    if (fault) t.fail(`${damage.name}; ${asked}: ${fault}`, { status: answer.status, text: answer.text })
  }

  /** Does each damage, asks, and puts all back; now and then looks whether others are well. */
  async function through(damages: readonly Damage[], ask: (damage: Damage, i: number) => Promise<void>) {
    const taken = spread(damages, share)
    t.ok(taken.length > 0, `${taken.length} of ${damages.length} damages`)
    for (const [i, damage] of taken.entries()) {
      await damage.do()
      try {
        await ask(damage, i)
      } finally {
        await putBack()
      }
      counts.damages += 1
      if (i % 50 === 0) others = await refresh(server.url, others.refresh_token, { client_id: 'other' })
    }
    return taken
  }

  // The locator: it begins the ids of her sessions, and names her own record.
  const locators = [sub, gone].map((_, i) =>
    (i === 0 ? sid : String(claimsOf(disabled.access_token).sid)).slice(0, 12),
  )
  const isOf = (name: string) => locators.some((locator) => name.includes(locator))
  const ofUsers = await vandal.damagesTo(isOf)
  let putBack = await vandal.takeDown(isOf)
  const seen = new Set<string>()
  await through(ofUsers, async (damage, i) => {
    seen.add(damage.name.split(' ', 2).join(' '))
    check(damage, 'a refresh', await tryRefresh(server.url, held.refresh_token, CLIENT), rights)
    check(damage, 'a revoked session', await tryRefresh(server.url, revoked.refresh_token, CLIENT), undefined)
    check(damage, 'a disabled user', await tryRefresh(server.url, disabled.refresh_token, CLIENT), undefined)
    const token = i % 2 ? held.refresh_token : held.access_token
    const answer = await postForm(`${server.url}/introspect`, { token }, web)
    if (
      answer.status === 200 &&
      answer.json?.active === true &&
      answer.json.sub !== sub &&
      answer.json.sub !== undefined
    )
      t.fail(`${damage.name}: introspected as ${String(answer.json.sub)}`)
    if (answer.status >= 500 && answer.status !== 503)
      t.fail(`${damage.name}: introspection ${answer.status}`)
    if (i % 5 === 0) {
      const revocation = await postForm(`${server.url}/revoke`, { ...CLIENT, token: held.refresh_token })
      if (revocation.status !== 200 && revocation.status !== 503)
        t.fail(`${damage.name}: revocation`, revocation)
    }
  })
  t.ok(seen.size >= 4, `what was damaged: ${[...seen].join(', ')}`)

  t.ok(await refresh(server.url, held.refresh_token, CLIENT), 'all put right, her session is there')
  held = await signIn(server.url, { ...CLIENT, ...ADA }, 'read')

  const isAsked = (name: string) => isOf(name) || /usernames|networks|:n:|:a:|attempts/.test(name)
  putBack = await vandal.takeDown(isAsked)
  const atSignIn = await vandal.damagesTo(isAsked)
  const some = spread(atSignIn, Math.min(1, (SIGN_INS * share * 10) / atSignIn.length))
  for (const damage of some) {
    await damage.do()
    const ask = async () => {
      const form = { grant_type: 'password', ...CLIENT, ...ADA, scope: 'read' }
      check(damage, 'a sign-in', await postForm(`${server.url}/token`, form), rights)
      const wrong = await postForm(`${server.url}/token`, { ...form, password: 'a wrong password' })
      check(damage, 'a wrong password', wrong, undefined)
    }
    try {
      await ask()
    } finally {
      await putBack()
    }
    counts.damages += 1
  }

  await ofClients(t, { deployment, server, vandal, share, web, counts, check })

  const listed = await vandal.damagesTo(isOf)
  for (const damage of spread(listed, LISTINGS / listed.length)) {
    await damage.do()
    const listed = await deployment.cli(['session', 'list', '--user', 'ada', '--json'])
    const isTold =
      listed.code === 0 || (listed.code === 1 && /damaged|cannot|not answer|no user/i.test(listed.stderr))
    t.ok(isTold && !listed.stderr.includes('    at '), `${damage.name}: session list`, listed)
    await putBack()
  }

  t.ok(await refresh(server.url, others.refresh_token, { client_id: 'other' }), 'others have felt nothing')
  t.equal(server.stderr, '')
  t.notOk(
    server.lines.find((line) => line.includes('unexpected failure')),
    'nothing was unexpected',
  )
  t.ok(counts.refused + counts.unavailable > 0, JSON.stringify(counts))
  count(t, { what: 'tampered records', number: counts.damages, on: kind })
}

interface Setting {
  readonly deployment: Deployment
  readonly server: ServerProcess
  readonly vandal: Vandal
  readonly share: number
  readonly web: { readonly authorization: string }
  readonly counts: { damages: number }
  readonly check: (damage: Damage, asked: string, answer: Answer, allowed: Rights | undefined) => void
}

/** A server goes by what it read of a client for half a second, so each damage is done to a client of its own. */
async function ofClients(
  t: Test,
  { deployment, server, vandal, share, counts, check }: Setting,
): Promise<void> {
  const registration = { grants: ['client_credentials'], scopes: ['read'] } as const
  const template = await deployment.addConfidentialClient('m-0', registration)
  await deployment.closeStore()
  t.ok(template)
  const isTemplate = (name: string) => /(?:^|\W)m-0$/.test(name)
  const number = spread(await vandal.damagesTo(isTemplate), share).length
  // All of them before the first is damaged: what the disk has changed keeps a store from being opened.
  const secrets = new Map<string, string>()
  for (let i = 1; i <= number; i += 1)
    secrets.set(`m-${i}`, await deployment.addConfidentialClient(`m-${i}`, registration))
  await deployment.closeStore()
  let done = 0
  for (const [clientId, secret] of secrets) {
    const isIts = (name: string) => name.endsWith(` ${clientId}`) || name.endsWith(`:${clientId}`)
    const damages = await vandal.damagesTo((name) => isIts(name) || isTemplate(name))
    const own = damages.filter(({ name }) => isIts(name.split(': ')[0] ?? ''))
    // The n-th of its own for the n-th client: together they are all of them.
    const damage = spread(own, share)[done]
    done += 1
    if (!damage) continue
    await damage.do()
    const form = { grant_type: 'client_credentials' }
    const rights = { sub: clientId, scope: ['read'], registered: ['read'], audience: [ISSUER] }
    const wrong = await postForm(`${server.url}/token`, form, basic(clientId, 'wrong'))
    check(damage, 'a wrong secret', wrong, undefined)
    const none = await postForm(`${server.url}/token`, { ...form, client_id: clientId })
    check(damage, 'no secret', none, undefined)
    const right = await postForm(`${server.url}/token`, form, basic(clientId, secret))
    check(damage, 'a client’s own token', right, rights)
    counts.damages += 1
  }
  t.ok(done > 0, `${done} clients, each damaged in another way`)
}

/** What is wrong with an answer that a damaged record led to. */
function faultOf(
  answer: Answer,
  allowed: Rights | undefined,
  { isSwap, isLoss }: Damage,
  asked: string,
): string | undefined {
  const { status, json = {} } = answer
  if (status === 503 || status === 429)
    return 'error' in json ? 'our trouble is called the client’s' : undefined
  if (status === 400 || status === 401) return typeof json.error === 'string' ? undefined : 'no OAuth error'
  if (status !== 200) return `the status is ${status}`
  if (!allowed) return isExcused(asked, isLoss, isSwap) ? undefined : 'it is let in'
  const claims = claimsOf(String(json.access_token))
  if (claims.sub !== allowed.sub) return 'it is somebody else'
  const scope = String(claims.scope).split(' ').filter(Boolean)
  const within = isSwap ? allowed.registered : allowed.scope
  if (!scope.every((one) => within.includes(one))) return `the scope is ${scope.join(' ')}`
  const audience = [claims.aud].flat()
  // What is written there is no audience of anybody's.
  const known = ['https://elsewhere.example', ISSUER]
  if (
    !isSwap &&
    audience.some((one) => known.includes(String(one)) && !allowed.audience.includes(String(one)))
  )
    return `the audience is ${audience.join(' ')}`
  const { exp, iat } = claims
  if (!Number.isSafeInteger(exp) || !Number.isSafeInteger(iat)) return 'its times are no numbers'
  const now = Date.now() / 1000
  if (Number(exp) > now + TTL + 5) return 'it lives for longer'
  if (Number(iat) > now + 5 || Number(claims.auth_time ?? 0) > now + 5) return 'it is of the future'
  return undefined
}

/** What docs/security.md says of whoever may write: a revocation can be taken away, and an account enabled by what another has. */
function isExcused(asked: string, isLoss: boolean, isSwap: boolean): boolean {
  return (asked === 'a revoked session' && (isLoss || isSwap)) || (asked === 'a disabled user' && isSwap)
}

/** As many of them as that, evenly. */
function spread<T>(all: readonly T[], share: number): T[] {
  if (share >= 1) return [...all]
  return all.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share))
}
