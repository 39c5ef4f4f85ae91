import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { ask, postForm, refresh, signIn } from '../support/http-client.ts'
import { until } from '../support/until.ts'

interface SpanLine {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parent: string | undefined
  readonly attributes: Readonly<Record<string, unknown>>
  readonly status: number
  readonly events: readonly unknown[]
}

const INTERNAL = 0
const SERVER = 1
const ERROR = 2

/** What an operator loads with `--import`: an SDK, whose exporter here writes a line for each span into a file. */
const SDK = (file: string) => `
import { appendFileSync } from 'node:fs'
import { NodeTracerProvider, SimpleSpanProcessor } from '${import.meta.resolve('@opentelemetry/sdk-trace-node')}'
const exporter = {
  export(spans, done) {
    for (const span of spans) {
      const { name, kind, attributes, events } = span
      const { traceId, spanId } = span.spanContext()
      const parent = span.parentSpanContext?.spanId
      const line = { name, kind, traceId, spanId, parent, attributes, status: span.status.code, events }
      appendFileSync(${JSON.stringify(file)}, JSON.stringify(line) + '\\n')
    }
    done({ code: 0 })
  },
  shutdown: async () => {},
}
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
`

for (const kind of STORE_KINDS) {
  t.test(`with an SDK, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const file = join(deployment.cwd, 'spans')
    const sdk = join(deployment.cwd, 'sdk.mjs')
    writeFileSync(sdk, SDK(file))
    const server = await deployment.startServer({
      NODE_OPTIONS: `--import=${pathToFileURL(sdk).href}`,
      TRUST_PROXY: '127.0.0.1',
    })
    const spans = () =>
      existsSync(file)
        ? readFileSync(file, 'utf8')
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line) as SpanLine)
        : []
    /** The trace of the request to which this is true of its server span. */
    const traceOf = async (what: string, isIt: (span: SpanLine) => boolean) => {
      const root = await until(what, () => spans().find((span) => span.kind === SERVER && isIt(span)))
      const children = spans().filter(
        ({ traceId, spanId }) => traceId === root.traceId && spanId !== root.spanId,
      )
      return { root, children }
    }
    const steps = (children: readonly SpanLine[]) => children.map(({ name }) => name)

    t.test('a sign-in', async (t) => {
      const begin = performance.now()
      await signIn(server.url, ada)
      const took = performance.now() - begin
      const { root, children } = await traceOf(
        'the sign-in',
        ({ attributes }) => attributes['pawl.grant_type'] === 'password',
      )
      t.equal(root.name, 'POST /token')
      t.strictSame(root.attributes, {
        'http.request.method': 'POST',
        'url.scheme': 'http',
        'http.route': '/token',
        'url.path': '/token',
        'pawl.grant_type': 'password',
        'http.response.status_code': 200,
      })
      // LMDB has a client at hand without being asked. Redis is asked again when half a second is over.
      const first = kind === 'redis' ? 'clients.find' : 'networks.isKnown'
      t.equal(children[0]?.name, first)
      const looks = steps(children).filter((name) => name === 'clients.find').length
      const mostLooks = took < 500 ? 1 : 2
      t.ok(looks <= (kind === 'redis' ? mostLooks : 0), `${looks} looks for the client`)
      const others = steps(children).filter((name) => name !== 'clients.find')
      t.strictSame(others, [
        'networks.isKnown',
        'attempts.reserve',
        'users.findByUsername',
        'password.verify',
        'families.create',
        'networks.note',
        'attempts.settle',
        'access_token.sign',
      ])
      for (const child of children) t.match(child, { parent: root.spanId, kind: INTERNAL }, child.name)
      t.match(children[0]?.attributes, { 'db.system.name': kind, 'db.operation.name': first })
    })

    t.test('a refresh, and a replay', async (t) => {
      const { refresh_token } = await signIn(server.url, ada)
      await refresh(server.url, refresh_token, { client_id: 'ada' })
      await refresh(server.url, refresh_token, { client_id: 'ada' })
      const turned = await traceOf(
        'the refresh',
        ({ attributes }) => attributes['pawl.decision'] === 'rotate',
      )
      // In whichever order they end: LMDB keeps the turn while the token is signed.
      t.strictSame(
        new Set(steps(turned.children).filter((name) => name !== 'clients.find')),
        new Set(['families.advance', 'access_token.sign']),
      )
      const repeated = await traceOf(
        'the replay',
        ({ attributes }) => attributes['pawl.decision'] === 'repeat',
      )
      t.ok(steps(repeated.children).includes('families.noteReplay'))
    })

    t.test('errors: the client’s are none of ours', async (t) => {
      await postForm(`${server.url}/token`, { grant_type: 'password', ...ada, password: 'wrong' })
      const { root } = await traceOf(
        'the error',
        ({ attributes }) => attributes['pawl.error'] === 'invalid_grant',
      )
      t.equal(root.attributes['http.response.status_code'], 400)
      t.not(root.status, ERROR)
      await ask(`${server.url}/nothing/hunter2?hunter2`)
      const unknown = await traceOf('the unknown path', ({ name }) => name === 'GET')
      t.notOk('url.path' in unknown.root.attributes)
    })

    t.test('the trace of a request counts where its proxy does', async (t) => {
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const traceparent = `00-${traceId}-b7ad6b7169203331-01`
      const jwks = `${server.url}/.well-known/jwks.json`
      await ask(jwks, { headers: { traceparent, 'x-forwarded-for': '192.0.2.1' } })
      const { root } = await traceOf('the trace of the proxy', (span) => span.traceId === traceId)
      t.equal(root.parent, 'b7ad6b7169203331')
      const strange = traceId.replace('0', '1')
      await ask(jwks, { headers: { traceparent: traceparent.replace(traceId, strange) } })
      await until('both', () => spans().filter(({ name }) => name.includes('jwks')).length === 2)
      t.notOk(
        spans().some((span) => span.traceId === strange),
        'a stranger’s does not',
      )
    })

    if (kind === 'redis') {
      t.test('a store that is silent', async (t) => {
        deployment.redis?.pause()
        await postForm(`${server.url}/token`, { grant_type: 'password', ...ada })
        deployment.redis?.resume()
        const { root, children } = await traceOf('the 503', ({ status }) => status === ERROR)
        t.equal(root.attributes['error.type'], '503')
        const failed = children.find(({ status }) => status === ERROR)
        t.equal(failed?.attributes['error.type'], 'UnavailableError')
      })
    }

    t.test('no span says who, or what was sent', async (t) => {
      const text = readFileSync(file, 'utf8')
      t.notMatch(text, /\bada\b|password of|prt_|eyJ|hunter2|usr_|192\.0\.2|\$argon2/)
      t.strictSame(
        spans().filter(({ events }) => events.length > 0),
        [],
        'nor does an event',
      )
      t.equal(server.stderr, '')
    })
  })
}

t.test('without an SDK there is no tracing', async (t) => {
  const { findTracing } = await import('../../src/tracing/tracing.ts')
  t.equal(findTracing(), undefined)
})
