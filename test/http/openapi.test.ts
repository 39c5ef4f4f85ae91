import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Validator } from '@seriousme/openapi-schema-validator'
import t, { type Test } from 'tap'
import { deploy } from '../support/deployment.ts'
import { type Answer, ask, basic, claimsOf, FORM_TYPE, type Form, postForm } from '../support/http-client.ts'
import { until } from '../support/until.ts'

interface Validate {
  (data: unknown): boolean
  errors?: unknown
}

// The dialect of OpenAPI 3.1. Its types are those of a CommonJS module, which a default import would get wrong.
const { Ajv2020 } = createRequire(import.meta.url)('ajv/dist/2020.js') as {
  Ajv2020: new (options: object) => { compile(schema: object): Validate }
}

interface Response {
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
}
interface Operation {
  readonly responses: Readonly<Record<string, Response>>
}
interface Document {
  readonly openapi: string
  readonly info: { readonly version: string }
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const INTROSPECTION_JWT = 'application/token-introspection+jwt'

t.test('the OpenAPI document', async (t) => {
  const deployment = await deploy(t, 'redis')
  const ada = await deployment.addAccount('ada')
  const { username } = ada
  const secret = await deployment.addConfidentialClient('web', {
    grants: ['password', 'refresh_token', 'client_credentials'],
    scopes: ['read'],
    claims: { tenant: 'x' },
  })
  const web = basic('web', secret)
  const { url, managementUrl, port } = await deployment.startServer()
  const served = await ask(`${managementUrl}/openapi.json`)
  const document = served.json as unknown as Document

  t.test('is valid OpenAPI 3.1', async (t) => {
    t.match(served, { status: 200, headers: { 'content-type': /^application\/json/ } })
    t.match(document.openapi, /^3\.1\./)
    const { valid, errors } = await new Validator().validate(JSON.parse(served.text))
    t.ok(valid, JSON.stringify(errors))
  })

  t.test('is the one in docs, and has the version of the package', async (t) => {
    const written = JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as Document
    t.strictSame(document.servers, [{ url: `http://localhost:${port}` }])
    t.strictSame(written.servers, [{ url: 'http://localhost:9000' }])
    t.strictSame(
      { ...document, servers: 0 },
      { ...written, servers: 0 },
      'node scripts/write-openapi.mjs writes it anew',
    )
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    t.equal(document.info.version, version)
  })

  const ajv = new Ajv2020({ strict: false, allErrors: true })
  const seen = new Set<string>()
  /** Holds an answer against the response that the document has for its status and type. */
  function holds(t: Test, method: string, path: string, status: number, answer: Answer): void {
    const name = `${method.toUpperCase()} ${path} ${status}`
    t.equal(answer.status, status, name)
    const response = document.paths[path]?.[method]?.responses[String(status)]
    if (!response) return void t.fail(`${name}: not in the document`)
    const type = String(answer.headers['content-type'] ?? '').split(';')[0] ?? ''
    seen.add(`${name} ${type}`.trim())
    if (response.content === undefined) return void t.equal(answer.text, '', `${name}: no content`)
    const schema = response.content[type]?.schema
    if (!schema) return void t.fail(`${name}: ${type} is not in the document`)
    const validate = ajv.compile(closed(schema))
    const data = type.endsWith('json') ? answer.json : answer.text
    t.ok(validate(data), `${name}: ${JSON.stringify(validate.errors)}`)
  }

  t.test('says what the routes answer', async (t) => {
    const token = (form: object, headers = {}) => postForm(`${url}/token`, { ...form } as Form, headers)
    const signedIn = await token({ grant_type: 'password', ...ada })
    const { refresh_token, access_token } = signedIn.json ?? {}
    holds(t, 'post', '/token', 200, signedIn)
    holds(
      t,
      'post',
      '/token',
      200,
      await token({ grant_type: 'refresh_token', client_id: 'ada', refresh_token }),
    )
    holds(t, 'post', '/token', 200, await token({ grant_type: 'client_credentials' }, web))
    const refused: object[] = [
      {},
      { grant_type: 'x', client_id: 'ada' },
      { grant_type: 'password', client_id: 'ada', username, password: 'wrong' },
      { grant_type: 'client_credentials', client_id: 'ada' },
      { grant_type: 'password', ...ada, scope: 'x' },
    ]
    for (const form of refused) holds(t, 'post', '/token', 400, await token(form))
    for (const type of ['application/json', 'x']) {
      const headers = { 'content-type': type }
      for (const path of ['/token', '/revoke', '/introspect']) {
        holds(t, 'post', path, 400, await ask(`${url}${path}`, { method: 'POST', headers, body: '{}' }))
      }
    }

    const own = claimsOf(String((await token({ grant_type: 'client_credentials' }, web)).json?.access_token))
    t.equal(own.tenant, 'x')
    const robot = String((await token({ grant_type: 'client_credentials' }, web)).json?.access_token)
    const introspect = (form: object, headers: object = web) =>
      postForm(`${url}/introspect`, { ...form } as Form, { ...headers })
    holds(t, 'post', '/introspect', 200, await introspect({ token: robot }))
    holds(t, 'post', '/introspect', 200, await introspect({ token: 'x' }))
    holds(
      t,
      'post',
      '/introspect',
      200,
      await introspect({ token: robot }, { ...web, accept: INTROSPECTION_JWT }),
    )
    holds(t, 'post', '/introspect', 400, await introspect({}))
    holds(t, 'post', '/introspect', 401, await introspect({ token: robot }, basic('web', 'wrong')))

    const revoke = (form: object, headers = {}) => postForm(`${url}/revoke`, { ...form } as Form, headers)
    holds(t, 'post', '/revoke', 200, await revoke({ token: refresh_token, client_id: 'ada' }))
    holds(t, 'post', '/revoke', 200, await revoke({ token: access_token, client_id: 'ada' }))
    holds(t, 'post', '/revoke', 400, await revoke({ token: robot }, web))
    holds(t, 'post', '/revoke', 401, await revoke({ token: 'x' }, basic('web', 'wrong')))
    holds(t, 'post', '/token', 401, await token({ grant_type: 'client_credentials' }, basic('web', 'wrong')))

    for (const path of Object.keys(document.paths).filter((path) => path.startsWith('/.well-known/'))) {
      const answer = await ask(`${url}${path}`)
      holds(t, 'get', path, 200, answer)
      const known = await ask(`${url}${path}`, { headers: { 'if-none-match': String(answer.headers.etag) } })
      holds(t, 'get', path, 304, known)
    }

    const wrong = { ...basic('web', 'wrong'), 'content-type': FORM_TYPE }
    await until(
      'the failures are too many',
      async () => (await introspect({ token: 'x' }, wrong)).status === 429,
    )
    holds(t, 'post', '/introspect', 429, await introspect({ token: 'x' }, wrong))
    holds(t, 'post', '/revoke', 429, await revoke({ token: 'x' }, wrong))
    holds(t, 'post', '/token', 429, await token({ grant_type: 'client_credentials' }, wrong))

    deployment.redis?.pause()
    holds(t, 'post', '/token', 503, await token({ grant_type: 'password', ...ada }))
    holds(t, 'post', '/revoke', 503, await revoke({ token: refresh_token, client_id: 'ada' }))
    holds(t, 'post', '/introspect', 503, await introspect({ token: robot }))
    deployment.redis?.resume()

    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) =>
        Object.entries(responses).flatMap(([status, { content }]) =>
          Object.keys(content ?? { '': 0 }).map((type) =>
            `${method.toUpperCase()} ${path} ${status} ${type}`.trim(),
          ),
        ),
      ),
    )
    t.strictSame(
      described.filter((response) => !seen.has(response)),
      [],
      'nothing is described that was not seen',
    )
  })
})

/** The schema with no room for members that it does not name, unless it says so. */
function closed(schema: object): object {
  const copy = structuredClone(schema) as Record<string, unknown>
  if (copy.type === 'object' && copy.additionalProperties === undefined) copy.additionalProperties = false
  return copy
}
