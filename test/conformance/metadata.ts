import { createRemoteJWKSet, jwtVerify } from 'jose'
import { deploy } from '../support/deployment.ts'
import { expectOAuthError, expectProblem } from '../support/expect.ts'
import { claimsOf, type Headers } from '../support/http-client.ts'
import { freePort } from '../support/processes.ts'
import { ADA, APP, basicOf, type ClientProof, clientOf, issuerOf } from './context.ts'
import type { Row } from './row.ts'

const RFC8414 = '/.well-known/oauth-authorization-server'
const OIDC = '/.well-known/openid-configuration'

/** The rows on RFC 8414. */
export const METADATA: readonly Row[] = [
  {
    id: 'C43',
    title: 'issuer is the configuration’s, whatever a request’s headers say',
    async hold(t, { get, token, server }) {
      const issuer = issuerOf(server)
      const plain = await get(RFC8414)
      t.equal(plain.json?.issuer, issuer, 'byte for byte')
      t.match(plain.headers, { 'content-type': /^application\/json/, 'cache-control': 'public, max-age=600' })
      const lies: Headers[] = [
        { host: 'evil.example' },
        { host: `127.0.0.1:${server.port}` },
        { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
        { 'x-forwarded-port': '444', 'x-forwarded-prefix': '/evil', 'x-original-host': 'evil.example' },
        { forwarded: 'for=192.0.2.1;host=evil.example;proto=https', 'x-forwarded-server': 'evil.example' },
        { 'x-original-url': '/evil', 'x-rewrite-url': '/evil', 'x-host': 'evil.example' },
      ]
      for (const headers of lies) {
        for (const path of [RFC8414, OIDC]) {
          const { status, text, headers: seen } = await get(path, headers)
          t.strictSame(
            { status, text, etag: seen.etag },
            { status: 200, text: plain.text, etag: plain.headers.etag },
          )
        }
        const answer = await token({ grant_type: 'password', ...APP, ...ADA }, headers)
        const { iss, aud } = claimsOf(String(answer.json?.access_token))
        t.strictSame({ iss, aud }, { iss: issuer, aud: issuer })
      }
    },
  },
  {
    id: 'C44',
    title: 'what is advertised is implemented, and the other way round',
    async hold(t, context) {
      const { get, url, web, api, signIn, token, send, server } = context
      const { json = {}, text } = await get(RFC8414)
      t.equal((await get(OIDC)).text, text, 'one document')
      const lists = Object.entries(json).filter((entry): entry is [string, string[]] =>
        Array.isArray(entry[1]),
      )
      for (const [name, list] of lists) {
        t.equal(
          list.length > 0,
          name !== 'response_types_supported',
          `${name} is empty only where it must be there`,
        )
      }
      const secrets = ['client_secret_basic', 'client_secret_post']
      t.strictSame(
        {
          ...json,
          scopes_supported: [...(json.scopes_supported as string[])].filter((s) =>
            ['read', 'write'].includes(s),
          ),
        },
        {
          issuer: issuerOf(server),
          token_endpoint: `${issuerOf(server)}/token`,
          jwks_uri: `${issuerOf(server)}/.well-known/jwks.json`,
          revocation_endpoint: `${issuerOf(server)}/revoke`,
          introspection_endpoint: `${issuerOf(server)}/introspect`,
          scopes_supported: ['read', 'write'],
          response_types_supported: [],
          grant_types_supported: ['password', 'refresh_token', 'client_credentials'],
          token_endpoint_auth_methods_supported: [...secrets, 'none'],
          revocation_endpoint_auth_methods_supported: [...secrets, 'none'],
          introspection_endpoint_auth_methods_supported: secrets,
          introspection_signing_alg_values_supported: ['RS256'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
        },
      )
      const listOf = (name: string) => json[name] as string[]
      // The document names localhost; the server of this test listens on the address behind it.
      const pathOf = (name: string) => new URL(String(json[name])).pathname
      const post = (name: string, form: object, headers: Headers = {}) =>
        send(
          'POST',
          pathOf(name),
          { 'content-type': 'application/x-www-form-urlencoded', ...headers },
          new URLSearchParams(form as Record<string, string>).toString(),
        )
      const jwks = createRemoteJWKSet(new URL(pathOf('jwks_uri'), url))
      /** Every way a client may prove itself. */
      const proofs: Record<string, [proof: ClientProof, headers: Headers]> = {
        client_secret_basic: [{}, basicOf(web)],
        client_secret_post: [web, {}],
        none: [APP, {}],
      }
      for (const method of listOf('token_endpoint_auth_methods_supported')) {
        const [proof, headers] = proofs[method]!
        for (const grant_type of listOf('grant_types_supported')) {
          const own = method === 'none' ? APP : web
          const { refresh_token } = await signIn(own)
          const forms: Record<string, object> = {
            password: ADA,
            refresh_token: { refresh_token },
            client_credentials: {},
          }
          const answer = await post('token_endpoint', { grant_type, ...proof, ...forms[grant_type] }, headers)
          const name = `${grant_type} with ${method}`
          if (grant_type === 'client_credentials' && method === 'none') {
            expectOAuthError(t, answer, 'unauthorized_client', name)
            continue
          }
          t.equal(answer.status, 200, name)
          const access = String(answer.json?.access_token)
          for (const algorithm of listOf('id_token_signing_alg_values_supported')) {
            const issuer = String(json.issuer)
            t.ok(
              await jwtVerify(access, jwks, { issuer, audience: issuer, algorithms: [algorithm] }),
              `${name}: ${algorithm}`,
            )
          }
        }
      }
      for (const method of listOf('revocation_endpoint_auth_methods_supported')) {
        const [proof, headers] = proofs[method]!
        const { refresh_token } = await signIn(method === 'none' ? APP : web)
        const answer = await post('revocation_endpoint', { token: refresh_token, ...proof }, headers)
        t.match(answer, { status: 200, text: '' }, `revocation with ${method}`)
        const refused = await context.tryRefresh({ refresh_token }, method === 'none' ? APP : web)
        expectOAuthError(t, refused, 'invalid_grant')
      }
      const { access_token } = await signIn(web)
      for (const method of ['client_secret_basic', 'client_secret_post', 'none']) {
        const [proof, headers] = proofs[method]!
        const answer = await post('introspection_endpoint', { token: access_token, ...proof }, headers)
        const isAdvertised = listOf('introspection_endpoint_auth_methods_supported').includes(method)
        if (isAdvertised) t.match(answer.json, { active: true }, `introspection with ${method}`)
        else expectOAuthError(t, answer, 'invalid_client', `introspection with ${method}`)
      }
      for (const algorithm of listOf('introspection_signing_alg_values_supported')) {
        const accept = 'application/token-introspection+jwt'
        const answer = await post(
          'introspection_endpoint',
          { token: access_token },
          { ...basicOf(api), accept },
        )
        t.ok(
          await jwtVerify(answer.text, jwks, { algorithms: [algorithm] }),
          `introspection signed with ${algorithm}`,
        )
      }
      for (const scope of ['read', 'write'])
        t.match(await token({ grant_type: 'password', ...APP, ...ADA, scope }), {
          status: 200,
          json: { scope },
        })

      const others = ['authorization_code', 'implicit', 'urn:ietf:params:oauth:grant-type:device_code']
      others.push(
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
      )
      for (const grant_type of others) {
        const answer = await token({ grant_type, ...web, code: 'x', assertion: 'x', device_code: 'x' })
        expectOAuthError(t, answer, 'unsupported_grant_type', grant_type)
      }
      const asserted = {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: access_token,
      }
      const byAssertion = await token({ grant_type: 'client_credentials', client_id: 'web', ...asserted })
      expectOAuthError(t, byAssertion, 'invalid_client', 'private_key_jwt is not advertised')
      for (const path of [
        '/authorize',
        '/userinfo',
        '/register',
        '/device_authorization',
        '/par',
        '/logout',
      ]) {
        expectProblem(t, await get(path), 404, path)
      }
    },
  },
  {
    id: 'C45',
    title: 'an issuer with a path: both well-known forms, and nothing elsewhere',
    async hold(t, { kind }) {
      const own = await deploy(t, kind)
      const port = await freePort()
      const path = '/tenants/one'
      const issuer = `http://localhost:${port}${path}`
      const server = await own.startServer({ PORT: String(port), ISSUER: issuer })
      const { get, send } = clientOf(server.url, 1)
      const inserted = await get(`${RFC8414}${path}`)
      t.match(inserted.json, {
        issuer,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/.well-known/jwks.json`,
        revocation_endpoint: `${issuer}/revoke`,
        introspection_endpoint: `${issuer}/introspect`,
      })
      t.notOk('scopes_supported' in (inserted.json ?? {}), 'no empty array where nothing is registered')
      for (const where of [`${path}${RFC8414}`, `${OIDC}${path}`, `${path}${OIDC}`]) {
        t.match(await get(where), { status: 200, text: inserted.text }, where)
      }
      for (const where of [
        ...[RFC8414, OIDC, '/.well-known/jwks.json', '/', path, `${path}/`, `${path}/.well-known`],
        ...[`${RFC8414}/tenants`, `${RFC8414}${path}/`, `${RFC8414}/other`, `/.well-known/jwks.json${path}`],
        ...[`/tenants${RFC8414}/one`, `${path.toUpperCase()}${RFC8414}`, `${path}/x${RFC8414}`],
      ]) {
        expectProblem(t, await get(where), 404, where)
      }
      for (const where of ['/token', '/revoke', '/introspect']) {
        expectProblem(t, await send('POST', where), 404, where)
        const answer = await send('GET', `${path}${where}`)
        expectProblem(t, answer, 405)
        t.equal(answer.headers.allow, 'POST')
      }
      const account = await own.addAccount('tenant')
      const { token } = clientOf(`${server.url}${path}`, 1)
      const { json } = await token({ grant_type: 'password', ...account })
      const jwks = createRemoteJWKSet(new URL(`${server.url}${path}/.well-known/jwks.json`))
      const { payload } = await jwtVerify(String(json?.access_token), jwks, { issuer, audience: issuer })
      t.equal(payload.iss, issuer)
    },
  },
]
