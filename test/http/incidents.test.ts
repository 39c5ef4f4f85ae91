import t from 'tap'
import { loadKeys } from '../../src/keys/key-files.ts'
import { SIGNING_ALGS, signOnThread } from '../../src/tokens/signing-key.ts'
import { deploy } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { basic, postForm, signIn } from '../support/http-client.ts'
import { until } from '../support/until.ts'

/*
 * Incidents of others that no other test stands for, tried on a server; docs/incidents.md has the whole list.
 */
t.test('incidents of others', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const ada = await deployment.addAccount('ada')
  const api = {
    client_id: 'api',
    client_secret: await deployment.addConfidentialClient('api', {
      grants: [],
      mayIntrospect: true,
      audiences: ['https://api.example'],
    }),
  }
  const server = await deployment.startServer({
    DEFAULT_AUDIENCE: 'https://api.example',
    SIGNING_ALG: 'ES256,EdDSA,RS256',
  })
  const { url } = server
  const { access_token } = await signIn(url, ada)
  const introspect = (token: string) => postForm(`${url}/introspect`, { token, ...api })
  t.match((await introspect(access_token)).json, { active: true })

  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const [head = '', body = ''] = access_token.split('.')
  const header = JSON.parse(Buffer.from(head, 'base64url').toString())

  t.test('a signature of zeros is none', async (t) => {
    // What ES256, EdDSA, RS256 and HS256 would have, and as DER: r = s = 0.
    const zeros = [0, 32, 64, 256].map((length) => Buffer.alloc(length))
    const all = [...zeros, Buffer.from('3006020100020100', 'hex'), Buffer.from([0])]
    const { signing } = await loadKeys(deployment.env.KEYS_DIR ?? '')
    t.strictSame(signing.published.map(({ alg }) => alg).sort(), [...SIGNING_ALGS].sort(), 'a key of each')
    for (const key of signing.published) {
      const inputOf = (alg: string) => `${encoded({ ...header, alg, kid: key.kid })}.${body}`
      const signed = `${inputOf(key.alg)}.${await signOnThread(key, inputOf(key.alg))}`
      // Else what follows would be refused for its header, and nobody would look at the signature.
      t.match((await introspect(signed)).json, { active: true }, `${key.alg}, a signature of its key`)
      for (const alg of [...SIGNING_ALGS, 'ES384', 'ES256K', 'PS256', 'HS256']) {
        for (const signature of all) {
          const token = `${inputOf(alg)}.${signature.toString('base64url')}`
          const what = `${alg}, by the key for ${key.alg}, ${signature.length} bytes`
          t.strictSame((await introspect(token)).json, { active: false }, what)
        }
      }
    }
  })

  t.test('no work is done at the bidding of a token', async (t) => {
    const jwe = (header: object) => `${encoded(header)}.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA`
    const pbes2 = { alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2s: 'AAAAAAAAAAAAAAAA', p2c: 2_147_483_647 }
    const deep = `${encoded(header)}.${Buffer.from('['.repeat(8000)).toString('base64url')}.AAAA`
    const hostile = [
      jwe(pbes2),
      jwe({ ...pbes2, p2c: 1e308 }),
      jwe({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }),
      `${encoded({ ...header, zip: 'DEF' })}.${body}.AAAA`,
      deep,
      '.'.repeat(15_000),
    ]
    for (const token of hostile) {
      const begin = performance.now()
      t.strictSame((await introspect(token)).json, { active: false })
      // 2^31 rounds of PBKDF2 take half an hour.
      t.ok(performance.now() - begin < 5000, 'at once')
    }
    const refused = await postForm(`${url}/token`, {
      grant_type: 'refresh_token',
      refresh_token: jwe(pbes2),
      client_id: 'ada',
    })
    expectOAuthError(t, refused, 'invalid_grant')
  })

  t.test('no expression that reads a request backtracks', async (t) => {
    const many = (text: string) => text.repeat(Math.floor(12_000 / text.length))
    const headers = [`Basic ${many(' ')}!`, `Basic ${many('=')}`, `Basic ${many('A')}!`, many('Basic ')]
    const bodies = [
      { scope: `${many('a ')}"` },
      { scope: `${many('aaaa')}\n` },
      { refresh_token: `prt_${many('A')}` },
      { client_id: many('%25') },
    ]
    const timed = async (work: () => Promise<{ status: number }>) => {
      const begin = performance.now()
      const { status } = await work()
      t.ok(status < 500, `answered ${status}`)
      t.ok(performance.now() - begin < 5000, 'at once')
    }
    for (const authorization of headers)
      await timed(() => postForm(`${url}/token`, { grant_type: 'client_credentials' }, { authorization }))
    for (const parameters of bodies)
      await timed(() => postForm(`${url}/token`, { grant_type: 'refresh_token', ...ada, ...parameters }))
  })

  t.test('a request writes no log line of its own', async (t) => {
    const forged = '{"level":30,"audit":true,"event":"sign_in.forged"}'
    const control = `x\r\n${forged}\n\u2028${forged}\u0000\u001b[2K\u001b[31m`
    const attempts = [
      { username: control, password: control },
      { username: 'ada', password: 'wrong', scope: control },
      { grant_type: control },
      { client_id: control },
      { grant_type: 'refresh_token', refresh_token: control },
    ]
    for (const form of attempts) {
      const agent = { 'user-agent': `curl\t${forged}`, 'x-request-id': forged, 'x-forwarded-for': forged }
      const { status } = await postForm(`${url}/token`, { grant_type: 'password', ...ada, ...form }, agent)
      t.ok(status === 400 || status === 401, `refused with ${status}`)
    }
    await postForm(`${url}/token`, { grant_type: 'client_credentials' }, basic(control, control))
    await postForm(`${url}/introspect`, { token: 'the last one', client_id: 'nobody' })
    await until('the log of the last request', () =>
      server.lines.some((line) => line.includes('/introspect')),
    )
    for (const line of server.lines) {
      const told = JSON.parse(line) as Record<string, unknown>
      t.not(told.event, 'sign_in.forged')
      t.notMatch(line, /[\p{Cc}\u2028]/u, 'no control character, not even in a text')
    }
    t.equal(server.stderr, '')
  })
})
