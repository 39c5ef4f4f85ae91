import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { auditEvent, auditEvents, type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, postForm, refresh, signIn, type Tokens, tryRefresh } from '../support/http-client.ts'
import { pastLateStore } from '../support/late-store.ts'

const ROUNDS = 200
const AT_ONCE = 50
const GRACE_S = 5

for (const kind of STORE_KINDS) {
  t.test(
    `${AT_ONCE} refreshes at once with one token, ${ROUNDS} rounds, two servers, on ${kind}`,
    async (t) => {
      const deployment = await deploy(t, kind, {
        env: { ISSUER: 'http://localhost:9000', REFRESH_TOKEN_GRACE: String(GRACE_S) },
        // What is compressed could not be searched.
        redis: { aof: true, config: ['--rdbcompression', 'no'] },
      })
      const password = 'the-password-that-no-dump-may-hold'
      const secret = await deployment.addConfidentialClient('web', { scopes: ['read'] })
      await deployment.addUser('ada', password)
      const servers = [await deployment.startServer(), await deployment.startServer()]
      const urls = servers.map(({ url }) => url)
      const client = { client_id: 'web', client_secret: secret }
      const [url = ''] = urls

      const g0 = await signIn(url, { ...client, username: 'ada', password })
      const lineage: Tokens[] = [g0]
      let askedAgain = 0
      for (let round = 0, held = g0; round < ROUNDS; round += 1) {
        const attempts = Array.from({ length: AT_ONCE }, (_, i) =>
          pastLateStore(() => tryRefresh(urls[i % 2] ?? '', held.refresh_token, client)),
        )
        const asked = await Promise.all(attempts)
        const answers = asked.map(({ answer }) => answer)
        askedAgain += asked.reduce((sum, { again }) => sum + again, 0)
        const bad = answers.filter(({ status }) => status !== 200)
        const refreshTokens = new Set(answers.map(({ json }) => json?.refresh_token))
        const accessTokens = new Set(answers.map(({ json }) => json?.access_token))
        if (bad.length > 0 || refreshTokens.size !== 1 || accessTokens.size !== 1) {
          t.fail(`round ${round}`, { bad, successors: refreshTokens.size, accessTokens: accessTokens.size })
          break
        }
        held = answers[0]?.json as unknown as Tokens
        lineage.push(held)
      }

      t.equal(lineage.length, ROUNDS + 1, 'every answer was 200, in each round with one successor')
      t.equal(
        new Set(lineage.map(({ refresh_token }) => refresh_token)).size,
        ROUNDS + 1,
        'each round turned the ratchet',
      )
      const sid = String(claimsOf(g0.access_token).sid)
      t.strictSame(
        [...new Set(lineage.map(({ access_token }) => claimsOf(access_token).sid))],
        [sid],
        'one session',
      )
      const { family } = await deployment.withStore((store) => store.families.look(sid))
      t.equal(family?.generation, ROUNDS, 'one lineage in the store')
      // What was answered too late may have been done all the same.
      const more = (family?.replays ?? Number.NaN) - ROUNDS * (AT_ONCE - 1)
      t.ok(
        more >= 0 && more <= askedAgain,
        `each repeat is counted, and ${more} of ${askedAgain} asked again`,
      )
      t.notOk(family?.revoked, 'nobody was signed out')

      t.test('a store that is stolen now', async (t) => {
        await postForm(`${url}/token`, {
          grant_type: 'password',
          ...client,
          username: password,
          password: 'a-wrong-password',
        })
        const secrets = {
          'the password': password,
          'a wrong password': 'a-wrong-password',
          'the client secret': secret,
          'the bare client secret': secret.slice('pcs_'.length),
        }
        expectNothing(t, await storeFiles(deployment), lineage, secrets, ['ada', 'web', sid.slice(12)])
      })

      t.test('a stale generation after the grace', async (t) => {
        await sleep(GRACE_S * 1000 + 200)
        const [stale, current] = lineage.slice(-2) as [Tokens, Tokens]
        expectOAuthError(t, await tryRefresh(urls[1] ?? '', stale.refresh_token, client), 'invalid_grant')
        for (const each of urls) {
          expectOAuthError(
            t,
            await tryRefresh(each, current.refresh_token, client),
            'invalid_grant',
            'the session has ended',
          )
        }
        const [first, second] = servers as [(typeof servers)[number], (typeof servers)[number]]
        t.ok(await auditEvent(second, 'refresh.reuse', { sid, presented: ROUNDS - 1, current: ROUNDS }))
        const events = [first, second].flatMap(auditEvents).filter(({ event }) => event === 'refresh.reuse')
        t.equal(events.length, 1, 'it is logged once')
        await t.rejects(refresh(url, g0.refresh_token, client))
      })
    },
  )
}

/** Every file in which the store keeps its content, after it was told to write it all out. */
async function storeFiles({ redis, dataDir }: Deployment): Promise<Map<string, Buffer>> {
  await redis?.cli('SAVE')
  const folder = redis?.dir ?? dataDir
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const wanted = names.filter((name) => /(\.rdb|\.aof|\.mdb)$/.test(name) && !name.includes('lock'))
  return new Map(wanted.map((name) => [name, readFileSync(join(folder, name))]))
}

/** The ways in which octets may have been written down. */
function spellings(octets: Buffer): Record<string, Buffer> {
  // Within a longer text in base64 the same octets look in three ways, by where they begin.
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), octets]).toString('base64')
    return text.slice(shift === 0 ? 0 : shift + 1, Math.floor(((octets.length + shift) * 8) / 6))
  })
  const texts = {
    hex: octets.toString('hex'),
    HEX: octets.toString('hex').toUpperCase(),
    ...Object.fromEntries(base64.map((text, i) => [`base64 at ${i}`, text])),
    ...Object.fromEntries(
      base64.map((text, i) => [`base64url at ${i}`, text.replaceAll('+', '-').replaceAll('/', '_')]),
    ),
  }
  return {
    raw: octets,
    ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)])),
  }
}

function expectNothing(
  t: Test,
  files: Map<string, Buffer>,
  lineage: readonly Tokens[],
  secrets: Readonly<Record<string, string>>,
  present: readonly string[],
): void {
  const parts = new Map<string, Buffer>(
    Object.entries(secrets).map(([name, text]) => [name, Buffer.from(text)]),
  )
  const octets = lineage.map(({ refresh_token }) =>
    Buffer.from(refresh_token.slice('prt_'.length), 'base64url'),
  )
  // docs/rotation.md: 9 octets of locator, then 16 that are random; the MAC is the last 32.
  const handles = new Set(octets.map((token) => token.toString('hex', 14, 30)))
  t.equal(handles.size, 1, 'one handle for the whole session')
  parts.set('the handle', Buffer.from([...handles][0] ?? '', 'hex'))
  octets.forEach((token, generation) => {
    parts.set(`the MAC of generation ${generation}`, token.subarray(34))
    parts.set(`the token of generation ${generation}`, Buffer.from(lineage[generation]?.refresh_token ?? ''))
  })

  t.ok(files.size > 0, [...files.keys()].join(', '))
  for (const [file, content] of files) {
    const found: string[] = []
    for (const [name, part] of parts) {
      for (const [spelling, text] of Object.entries(spellings(part))) {
        if (content.includes(text)) found.push(`${name}, ${spelling}`)
      }
    }
    t.strictSame(found, [], `${file}: none of ${parts.size} secrets in any spelling`)
  }
  // The search itself works: what the store is meant to hold is found in the same files.
  const all = Buffer.concat([...files.values()])
  for (const text of present) t.ok(all.includes(text), `${JSON.stringify(text)} is found`)
  t.notOk(all.includes('prt_'), 'not even a beginning of a token')
}
