import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { ask, basic, postForm, refresh, signIn, tryRefresh } from '../support/http-client.ts'
import { readScrape, scrape } from '../support/prometheus.ts'
import { until } from '../support/until.ts'

/** What docs/metrics.md has a row for, by its first column. */
const documented = [
  ...readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(pawl_[a-z_]+)(?:\{[a-z_, ]+\})?` \|/gm),
].map(([, name]) => name ?? '')

/** Enough sign-ins at once that the queue of hashes refuses some, whatever the number of cores. */
const FLOOD = (availableParallelism() + 1) * 80

for (const kind of STORE_KINDS) {
  t.test(`the metrics, on ${kind}`, async (t) => {
    // What is to be full is the hashing, and not a budget before it.
    const env = {
      SIGN_IN_FAILURES_PER_ACCOUNT: '100000',
      SIGN_IN_FAILURES_PER_NETWORK: '100000',
      SIGN_IN_FAILURES_IN_TOTAL: '100000',
    }
    const deployment = await deploy(t, kind, { env })
    const ada = await deployment.addAccount('ada')
    const server = await deployment.startServer()
    const { url, managementUrl } = server
    const now = () => scrape(managementUrl)
    // The count follows the answer.
    const counted = (what: string, least: number, name: string, labels: Record<string, string>) =>
      until(what, async () => (await now()).sum(name, labels) >= least).then(() => t.pass(what))

    t.test('what alerts wait for has been 0 before', async (t) => {
      await signIn(url, ada)
      const { samples } = await now()
      for (const event of ['refresh.lockstep', 'refresh.healed', 'refresh.too_far_ahead']) {
        const sample = samples.find(
          ({ name, labels }) => name === 'pawl_audit_events_total' && labels.event === event,
        )
        t.equal(sample?.value, 0, event)
      }
      const errors = samples.find(({ name }) => name === 'pawl_store_errors_total')
      t.equal(errors?.value, 0, 'store errors')
    })

    t.test('token requests, by grant type and result', async (t) => {
      const before = await now()
      const { refresh_token } = await signIn(url, ada)
      await postForm(`${url}/token`, { grant_type: 'password', ...ada, password: 'wrong' })
      await postForm(`${url}/token`, { grant_type: 'saml', client_id: 'ada' })
      await postForm(`${url}/token`, { client_id: 'ada' })
      await refresh(url, refresh_token, { client_id: 'ada' })
      await tryRefresh(url, 'prt_nothing', { client_id: 'ada' })
      const rows: [grant_type: string, result: string][] = [
        ['password', 'ok'],
        ['password', 'invalid_grant'],
        ['other', 'unsupported_grant_type'],
        ['none', 'invalid_request'],
        ['refresh_token', 'ok'],
        ['refresh_token', 'invalid_grant'],
      ]
      for (const [grant_type, result] of rows) {
        await counted(`${grant_type} ${result}`, 1, 'pawl_token_requests_total', { grant_type, result })
      }
      const after = await now()
      const grown = after.sum('pawl_token_requests_total') - before.sum('pawl_token_requests_total')
      t.equal(grown, rows.length, 'and nothing else')
    })

    t.test('what the decision table said, and how old a replay was', async (t) => {
      const first = await signIn(url, ada)
      const second = await refresh(url, first.refresh_token, { client_id: 'ada' })
      await refresh(url, first.refresh_token, { client_id: 'ada' })
      await refresh(url, second.refresh_token, { client_id: 'ada' })
      await tryRefresh(url, first.refresh_token, { client_id: 'ada' })
      await tryRefresh(url, second.refresh_token, { client_id: 'ada' })
      await counted('rotate', 3, 'pawl_refresh_decisions_total', { decision: 'rotate' })
      for (const decision of ['repeat', 'reuse', 'revoked'])
        await counted(decision, 1, 'pawl_refresh_decisions_total', { decision })
      const after = await now()
      for (const decision of ['repeat', 'reuse']) {
        t.equal(after.sum('pawl_refresh_replay_age_seconds_count', { decision }), 1)
        t.ok(
          after.sum('pawl_refresh_replay_age_seconds_bucket', { decision, le: '5' }),
          'and was no age at all',
        )
      }
      t.equal(after.sum('pawl_refresh_replay_age_seconds_count', { decision: 'rotate' }), 0)
      for (const event of [
        'sign_in.succeeded',
        'sign_in.failed',
        'refresh.replayed',
        'refresh.reuse',
        'refresh.after_revocation',
      ])
        t.ok(after.sum('pawl_audit_events_total', { event }), event)
    })

    t.test('requests by route, never by path', async (t) => {
      const before = await now()
      await ask(`${url}/nothing/ada?ada`)
      await ask(`${url}/token`)
      await ask(`${url}/.well-known/jwks.json`)
      const grown = async (labels: Record<string, string>) =>
        (await now()).sum('pawl_http_request_seconds_count', labels) -
        before.sum('pawl_http_request_seconds_count', labels)
      await until('the unknown route', async () => (await grown({ route: 'none', status: '404' })) === 1)
      await until('the unknown method', async () => (await grown({ route: 'none', status: '405' })) === 1)
      await until(
        'a known route',
        async () => (await grown({ route: '/.well-known/jwks.json', status: '200' })) === 1,
      )
      t.pass('all three')
    })

    t.test('the store, its families and the keys', async (t) => {
      const before = await now()
      await signIn(url, ada)
      await signIn(url, ada)
      const after = await now()
      t.equal(after.sum('pawl_families') - before.sum('pawl_families'), 2, 'families')
      const verb = { verb: 'families.create' }
      t.equal(after.sum('pawl_store_seconds_count', verb) - before.sum('pawl_store_seconds_count', verb), 2)
      t.ok(after.sum('pawl_store_seconds_sum', verb) > before.sum('pawl_store_seconds_sum', verb))
      t.equal(after.sum('pawl_signing_keys_published'), 1)
      const age = after.sum('pawl_signing_key_age_seconds')
      t.ok(age > 0 && age < 180, `the key is ${age} s old`)
    })

    t.test('hashing', async (t) => {
      const before = await now()
      // Each by another name: those of one account wait for each other, and may be told the same before any hash.
      const who = (i: number) => (i === 0 ? ada : { ...ada, username: `nobody ${i}` })
      const answers = await Promise.all(
        Array.from({ length: FLOOD }, (_, i) =>
          postForm(`${url}/token`, { grant_type: 'password', ...who(i) }),
        ),
      )
      const computed = answers.filter(({ status }) => status === 200 || status === 400).length
      // On a busy machine the store may be late as well, which is another 503.
      const refused = answers.filter(
        ({ status, json }) => status === 503 && /sign-ins|hashing/.test(String(json?.detail)),
      ).length
      const grown = async (name: string) => (await now()).sum(name) - before.sum(name)
      t.ok(refused > 0, `${refused} refused`)
      await until('refusals', async () => (await grown('pawl_password_hash_refused_total')) >= refused)
      t.equal(await grown('pawl_password_hash_refused_total'), refused)
      const hashes = await grown('pawl_password_hash_seconds_count')
      // Most refusals come before the hash, and are none.
      t.ok(hashes >= computed && hashes <= FLOOD, `${hashes} timed`)
      t.equal((await now()).sum('pawl_password_hashes_under_way'), 0, 'and none is left')
      const labels = { grant_type: 'password', result: 'problem_503' }
      await counted('the answers', refused, 'pawl_token_requests_total', labels)
    })

    t.test('a budget that is used up', async (t) => {
      for (let i = 0; i < 102; i += 1)
        await postForm(`${url}/token`, { grant_type: 'password' }, basic('nobody', 'x'))
      await counted('client authentication', 2, 'pawl_throttled_total', { reason: 'client_authentication' })
      const results = (await now()).samples.filter(({ name }) => name === 'pawl_token_requests_total')
      t.ok(results.some(({ labels }) => labels.result === 'problem_429'))
      t.end()
    })

    t.test('every metric that is documented is there, and no other', async (t) => {
      const names = [...(await now()).names].filter((name) => name.startsWith('pawl_'))
      t.strictSame(names.sort(), documented.filter((name) => !name.startsWith('pawl_workers_')).sort())
    })

    t.test('no label says who', async (t) => {
      const text = await (await fetch(`${managementUrl}/metrics`)).text()
      t.notMatch(text, /\b(?:ada|nobody|prt_|usr_|127\.0\.0|saml)\b/)
      t.equal((await fetch(`${url}/metrics`)).status, 404, 'and the public listener says nothing')
    })

    if (kind === 'redis') {
      t.test('a store that is silent', async (t) => {
        deployment.redis?.pause()
        t.equal((await postForm(`${url}/token`, { grant_type: 'password', ...ada })).status, 503)
        const meanwhile = await now()
        t.ok(meanwhile.sum('pawl_store_errors_total') > 0, 'errors are counted')
        t.notOk(
          meanwhile.samples.some(({ name }) => name === 'pawl_families'),
          'and nobody knows the families',
        )
        deployment.redis?.resume()
        await until('it is back', async () => (await now()).sum('pawl_families') > 0)
      })
    }
    t.equal(server.stderr, '')
  })
}

t.test('the reader of these tests is strict', async (t) => {
  const head = '# HELP a_total x\n# TYPE a_total counter\n'
  t.equal(readScrape(`${head}a_total{b="c"} 2\na_total{b="d"} 3\n`).sum('a_total'), 5)
  for (const text of [
    `${head}a_total 1`,
    `${head}a_total 1\na_total 1\n`,
    `${head}b_total 1\n`,
    `${head}a_total{b=c} 1\n`,
    `${head}a_total{b="c} 1\n`,
    `${head}a_total x\n`,
    head + head,
    '# TYPE a_total counter\na_total 1\n',
    '# HELP a x\n# TYPE a counter\na 1\n',
    '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="2"} 1\n',
  ])
    t.throws(() => readScrape(text), text)
})
