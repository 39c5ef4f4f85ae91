import { createHash, createHmac, generateKeyPairSync, sign, webcrypto } from 'node:crypto'
import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CompactEncrypt, exportJWK, importJWK, type JWK, jwtVerify } from 'jose'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, type Tokens } from '../support/http-client.ts'
import { freePort, runCli, startServer } from '../support/processes.ts'
import { APP, basicOf, type Context, clientOf, eachOf, issuerOf, recordOf } from './context.ts'
import type { Row } from './row.ts'

const INACTIVE = '{"active":false}'
const ACCESS_TOKEN_CLAIMS = [
  'aud',
  'auth_time',
  'client_id',
  'exp',
  'iat',
  'iss',
  'jti',
  'scope',
  'sid',
  'sub',
]

const encoded = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** RFC 7638 section 3, written down once more. */
function thumbprint({ e, kty, n }: { e?: string; kty?: string; n?: string }): string {
  return createHash('sha256').update(JSON.stringify({ e, kty, n })).digest('base64url')
}

/** The rows on JWKS, JWT and JWS. */
export const JOSE: readonly Row[] = [
  {
    id: 'C38',
    title: 'the JWKS has public members, and the RFC 7638 thumbprint as kid',
    async hold(t, { get, send, keys, signIn }) {
      const answer = await get('/.well-known/jwks.json')
      t.match(answer, {
        status: 200,
        headers: {
          'content-type': /^application\/json/,
          'cache-control': 'public, max-age=600',
          'access-control-allow-origin': '*',
          etag: /^"[^"]+"$/,
        },
      })
      const { keys: published, ...rest } = answer.json as { keys: JWK[] }
      t.strictSame(rest, {}, 'nothing but keys')
      t.equal(published.length, keys.signing.published.length)
      for (const key of published) {
        t.strictSame(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'])
        t.match(key, { kty: 'RSA', use: 'sig', alg: 'RS256', kid: thumbprint(key as JWK & { kty: string }) })
      }
      t.equal(new Set(published.map(({ kid }) => kid)).size, published.length, 'each kid once')
      // RFC 7638 section 3.1, so that the thumbprint above is the RFC's.
      t.equal(thumbprint(RFC7638_KEY), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
      const { access_token } = await signIn()
      const [head = ''] = access_token.split('.')
      const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString())
      t.ok(
        published.some((key) => key.kid === kid),
        'tokens name one of them',
      )
      const again = await get('/.well-known/jwks.json', { 'if-none-match': String(answer.headers.etag) })
      t.match(again, { status: 304, text: '' }, 'an ETag is known again')
      t.equal((await send('HEAD', '/.well-known/jwks.json')).status, 200)
    },
  },
  {
    id: 'C39',
    title: 'a key that is weak, unreadable or open to others keeps the server from starting',
    async hold(t, { deployment, server }) {
      const original = String(deployment.env.KEYS_DIR)
      const pem = (bits: number) =>
        generateKeyPairSync('rsa', { modulusLength: bits }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        })
      const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
      const ecPem = elliptic.export({ type: 'pkcs8', format: 'pem' })
      const write = (content: string | Buffer) => (folder: string) => {
        const path = join(folder, 'signing', 'another.pem')
        writeFileSync(path, content, { mode: 0o600 })
        return path
      }
      const loosen =
        (mode: number, ...names: string[]) =>
        (folder: string) => {
          const path = join(folder, ...names)
          chmodSync(path, mode)
          return path
        }
      const [signingFile = ''] = readdirSync(join(original, 'signing')).filter((name) =>
        name.endsWith('.pem'),
      )
      const [refreshFile = ''] = readdirSync(join(original, 'refresh')).filter((name) =>
        name.endsWith('.key'),
      )
      const faults: Record<string, (folder: string) => string> = {
        '1024 bits': write(pem(1024)),
        '2040 bits': write(pem(2040)),
        'no key at all': write('garbage'),
        'an empty file': write(''),
        'half of a key': write(String(pem(2048)).slice(0, 900)),
        'a key of another kind': write(ecPem),
        'readable to the group': loosen(0o640, 'signing', signingFile),
        'readable to the world': loosen(0o604, 'signing', signingFile),
        'a secret that the world may read': loosen(0o644, 'refresh', refreshFile),
        'a folder that the world may enter': loosen(0o755, 'signing'),
        'a file that is a folder': (folder) => {
          const path = join(folder, 'signing', 'folder.pem')
          mkdirSync(path, { mode: 0o700 })
          return path
        },
      }
      await eachOf(Object.entries(faults), 2, async ([name, spoil], index) => {
        const folder = join(deployment.cwd, `keys-${index}`)
        cpSync(original, folder, { recursive: true })
        for (const path of [folder, join(folder, 'signing'), join(folder, 'refresh')]) chmodSync(path, 0o700)
        const named = spoil(folder)
        const files = readdirSync(folder, { recursive: true }).sort()
        const [port, managementPort] = [await freePort(), await freePort()]
        const env = {
          ...deployment.env,
          KEYS_DIR: folder,
          PORT: `${port}`,
          MANAGEMENT_PORT: `${managementPort}`,
        }
        const { code, stderr, stdout } = await runCli(['serve'], { env, cwd: deployment.cwd })
        t.ok(code !== 0 && code !== null, `${name}: exit ${code}`)
        t.ok(stderr.includes(named), `${name}: names the file`)
        t.notMatch(stderr + stdout, /PRIVATE KEY|\.js:\d/, `${name}: shows neither key nor stack`)
        t.strictSame(readdirSync(folder, { recursive: true }).sort(), files, `${name}: nothing overwritten`)
      })
      t.equal(server.stderr, '')
    },
  },
  {
    id: 'C40',
    title: 'only tokens that are ours to the letter pass our own verification',
    async hold(t, context) {
      const { signIn, introspect, api, web, deployment, server } = context
      const { access_token } = await signIn()
      t.match((await introspect({ token: access_token, ...api })).json, { active: true })
      const forged = await forgeriesOf(context, access_token)
      for (const [name, token] of Object.entries(forged)) {
        for (const caller of [api, web]) {
          const { status, text } = await introspect({ token, ...caller })
          t.strictSame({ status, text }, { status: 200, text: INACTIVE }, name)
        }
      }
      const env = { ...deployment.env, ISSUER: issuerOf(server) }
      const inspect = (stdin: string) =>
        runCli(['token', 'inspect', '-', '--json'], { env, cwd: deployment.cwd, stdin })
      const genuine = await inspect(access_token)
      t.match(JSON.parse(genuine.stdout), { kind: 'access token', passes: true })
      t.equal(genuine.code, 0)
      // A process each: one of every kind is enough where the verification behind it is the same.
      const kinds =
        /^(alg none|HS256 with the public key in PEM|an unknown crit|b64 false|jku, by our own|a JWE to|a fourth|the same member)/
      const chosen = Object.entries(forged).filter(([name]) => kinds.test(name))
      t.equal(chosen.length, 9)
      await eachOf(chosen, 2, async ([name, token]) => {
        const { code, stdout } = await inspect(token)
        t.match([code, JSON.parse(stdout).passes], [1, false], `pawl token inspect: ${name}`)
      })
    },
  },
  {
    id: 'C41',
    title: 'a token of one kind never passes as another',
    async hold(t, context) {
      const { signIn, introspect, revoke, tryRefresh, refresh, api, web, server, get } = context
      const held = await signIn(web)
      const before = await recordOf(context, held)
      const accept = { accept: 'application/token-introspection+jwt' }
      const said = (await introspect({ token: held.access_token, ...web }, accept)).text
      t.match(claimsOf(said), { token_introspection: { active: true } })
      for (const [name, token] of Object.entries({
        'an access token': held.access_token,
        'an introspection response': said,
      })) {
        expectOAuthError(
          t,
          await tryRefresh({ refresh_token: token }, web),
          'invalid_grant',
          `${name} as a refresh token`,
        )
      }
      const [key] = ((await get('/.well-known/jwks.json')).json as { keys: JWK[] }).keys
      for (const [name, token] of Object.entries({
        'an introspection response': said,
        'a refresh token': held.refresh_token,
      })) {
        const verifying = jwtVerify(token, await importJWK(key!), { issuer: issuerOf(server), typ: 'at+jwt' })
        await t.rejects(verifying, `${name} at a resource server`)
      }
      for (const caller of [api, web]) {
        const { text } = await introspect({ token: said, token_type_hint: 'access_token', ...caller })
        t.equal(text, INACTIVE, 'an introspection response is no access token')
      }
      t.equal((await revoke({ token: said, ...web })).status, 200)
      t.strictSame(await recordOf(context, held), before, 'and revokes nothing')
      const { text } = await introspect({
        token: held.refresh_token,
        token_type_hint: 'access_token',
        ...web,
      })
      t.notMatch(text, /token_type|jti/, 'a refresh token is described as none of the access tokens')
      for (const secret of [held.access_token, said, held.refresh_token]) {
        const form = { token: held.access_token, client_id: 'web', client_secret: secret }
        expectOAuthError(t, await introspect(form), 'invalid_client', 'no token is a client secret')
        const bearer = await introspect({ token: held.access_token }, { authorization: `Bearer ${secret}` })
        expectOAuthError(t, bearer, 'invalid_client', 'nor a credential')
      }
      t.ok(await refresh(held, web))
    },
  },
  {
    id: 'C42',
    title: 'access tokens have typ and claims of RFC 9068, and a jti that no other node gives',
    async hold(t, context) {
      const { signIn, token, web, refresh, register, server, adaSub, deployment } = context
      const tokens = await signIn({ scope: 'read' })
      t.strictSame(headerOf(tokens.access_token), {
        alg: 'RS256',
        kid: context.keys.signing.active.kid,
        typ: 'at+jwt',
      })
      const claims = claimsOf(tokens.access_token)
      t.strictSame(Object.keys(claims).sort(), ACCESS_TOKEN_CLAIMS)
      const now = Date.now() / 1000
      t.match(claims, {
        iss: issuerOf(server),
        aud: issuerOf(server),
        sub: adaSub,
        client_id: 'app',
        scope: 'read',
      })
      for (const name of ['exp', 'iat', 'auth_time'])
        t.ok(Number.isInteger(claims[name]), `${name} is an integer`)
      t.ok(Math.abs(Number(claims.iat) - now) < 5)
      t.equal(Number(claims.exp) - Number(claims.iat), tokens.expires_in)
      t.match(claims.jti, /^[A-Za-z0-9_-]{22}$/)
      const plain = await register('plain-typ', {
        accessTokenTyp: 'JWT',
        audiences: ['a', 'b'],
        claims: { tenant: 'x', roles: ['admin'] },
      })
      const other = await signIn(plain)
      t.equal(headerOf(other.access_token).typ, 'JWT', 'per client')
      t.match(claimsOf(other.access_token), { aud: ['a', 'b'], tenant: 'x', roles: ['admin'] })

      const second = await startServer({
        env: { ...deployment.env, ISSUER: issuerOf(server), TRUST_PROXY: '127.0.0.1' },
        cwd: deployment.cwd,
      })
      t.teardown(() => second.stop())
      const nodes = [context, clientOf(second.url, 142)]
      const ids: unknown[] = [claims.jti]
      const collect = ({ access_token }: Pick<Tokens, 'access_token'>) => ids.push(claimsOf(access_token).jti)
      await eachOf(Array.from({ length: 400 }), 8, async (_, i) => {
        const answer = await nodes[i % 2]!.token({ grant_type: 'client_credentials' }, basicOf(web))
        collect(answer.json as unknown as Tokens)
      })
      const sessions = await Promise.all(nodes.map(({ signIn }) => signIn(APP)))
      for (let held of sessions) {
        collect(held)
        for (let turn = 0; turn < 20; turn += 1) {
          held = await nodes[turn % 2]!.refresh(held)
          collect(held)
        }
      }
      t.equal(new Set(ids).size, ids.length, `${ids.length} tokens of two nodes, each with a jti of its own`)
      const again = await refresh(sessions[0]!).catch(() => undefined)
      t.equal(again, undefined, 'an old token gives none')
      t.equal((await token({ grant_type: 'client_credentials' }, basicOf(web))).status, 200)
    },
  },
]

function headerOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())
}

/** Tokens that say what a genuine one says and must not pass; what could be is signed with the server's own key. */
async function forgeriesOf({ keys, server }: Context, genuine: string): Promise<Record<string, string>> {
  const { active } = keys.signing
  const [head = '', body = '', signature = ''] = genuine.split('.')
  const header = headerOf(genuine)
  const claims = claimsOf(genuine)
  const signed = (
    protectedHeader: unknown,
    payload: unknown = claims,
    key = active.privateKey,
    algorithm = 'sha256',
  ) => {
    const input = `${encoded(protectedHeader)}.${encoded(payload)}`
    return `${input}.${sign(algorithm, Buffer.from(input), key).toString('base64url')}`
  }
  const hmac = (key: string | Buffer, more: object = {}) => {
    const input = `${encoded({ ...header, alg: 'HS256', ...more })}.${body}`
    return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  }
  const thief = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const thiefsJwk = await exportJWK(thief.publicKey)
  const url = 'https://thief.example/jwks.json'
  const { n = '' } = active.publicJwk
  const pss = async () => {
    const input = `${encoded({ ...header, alg: 'PS256' })}.${body}`
    const key = await webcrypto.subtle.importKey(
      'pkcs8',
      active.privateKey.export({ type: 'pkcs8', format: 'der' }),
      { name: 'RSA-PSS', hash: 'SHA-256' },
      false,
      ['sign'],
    )
    const made = await webcrypto.subtle.sign({ name: 'RSA-PSS', saltLength: 32 }, key, Buffer.from(input))
    return `${input}.${Buffer.from(made).toString('base64url')}`
  }
  const jwe = (payload: string) =>
    new CompactEncrypt(Buffer.from(payload))
      .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: active.kid, typ: 'at+jwt', cty: 'JWT' })
      .encrypt(active.publicKey)
  return {
    'alg none': `${encoded({ ...header, alg: 'none' })}.${body}.`,
    'alg None with the signature': `${encoded({ ...header, alg: 'None' })}.${body}.${signature}`,
    'no alg': signed({ kid: active.kid, typ: 'at+jwt' }),
    'no signature': `${head}.${body}.`,
    'HS256 with the public key in PEM': hmac(active.publicKey.export({ type: 'spki', format: 'pem' })),
    'HS256 with the public key in DER': hmac(active.publicKey.export({ type: 'spki', format: 'der' })),
    'HS256 with the modulus': hmac(Buffer.from(n, 'base64url')),
    'HS256 with nothing': hmac(''),
    'RS512 by our own key': signed({ ...header, alg: 'RS512' }, claims, active.privateKey, 'sha512'),
    'PS256 by our own key': await pss(),
    'another key under our kid': signed(header, claims, thief.privateKey),
    'an unknown kid': signed({ ...header, kid: 'x' }, claims, thief.privateKey),
    'no kid': signed({ alg: 'RS256', typ: 'at+jwt' }),
    'an unknown crit': signed({ ...header, crit: ['x'], x: 1 }),
    'an empty crit': signed({ ...header, crit: [] }),
    'b64 false, critical': signed({ ...header, b64: false, crit: ['b64'] }),
    'b64 false': signed({ ...header, b64: false }),
    'jku, by a thief': signed({ ...header, jku: url }, claims, thief.privateKey),
    'x5u, by a thief': signed({ ...header, x5u: url }, claims, thief.privateKey),
    'jwk, by a thief': signed({ alg: 'RS256', typ: 'at+jwt', jwk: thiefsJwk }, claims, thief.privateKey),
    'jwk under our kid, by a thief': signed({ ...header, jwk: thiefsJwk }, claims, thief.privateKey),
    'jku, by our own key': signed({ ...header, jku: url }),
    'x5u, by our own key': signed({ ...header, x5u: url }),
    'jwk, by our own key': signed({ ...header, jwk: active.publicJwk }),
    'a JWE to our public key': await jwe(genuine),
    'a JWE of the claims': await jwe(JSON.stringify(claims)),
    'a fourth part': `${genuine}.${signature}`,
    'a dot at the end': `${genuine}.`,
    'a dot before': `.${genuine}`,
    'a dot in between': `${head}..${body}.${signature}`,
    'a duplicate member in the header': signed(`{"alg":"none",${JSON.stringify(header).slice(1)}`),
    'the same member twice in the header': signed(`{"alg":"RS256",${JSON.stringify(header).slice(1)}`),
    'a duplicate member in the payload': signed(header, `{"sub":"x",${JSON.stringify(claims).slice(1)}`),
    'a header that is an array': signed([header]),
    'JSON serialisation': JSON.stringify({ protected: head, payload: body, signature }),
    padding: `${genuine}=`,
    'a space before': ` ${genuine}`,
    'a space within the signature': `${genuine.slice(0, -9)} ${genuine.slice(-9)}`,
    'the signature’s spare bits': genuine.slice(0, -1) + nextLetter(genuine.slice(-1)),
    'a header in another order': signed({ typ: header.typ, kid: header.kid, alg: header.alg }),
    'white space in the header': signed(JSON.stringify(header, null, 1)),
    'the typ of another kind': signed({ ...header, typ: 'token-introspection+jwt' }),
    'no typ': signed({ alg: 'RS256', kid: active.kid }),
    'another issuer': signed(header, { ...claims, iss: `http://localhost:${server.port + 1}` }),
    'an issuer with a slash': signed(header, { ...claims, iss: `${claims.iss}/` }),
    'its time over': signed(header, { ...claims, exp: Math.floor(Date.now() / 1000) - 1 }),
    'no end': signed(header, { ...claims, exp: undefined }),
    'an end that is a text': signed(header, { ...claims, exp: '9999999999' }),
    'no sub': signed(header, { ...claims, sub: undefined }),
  }
}

/** The letter after this one in base64url: of the last one of a signature it differs in bits that mean nothing. */
function nextLetter(letter: string): string {
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return LETTERS.charAt(LETTERS.indexOf(letter) + 1)
}

// RFC 7638 section 3.1.
const RFC7638_KEY = {
  kty: 'RSA',
  n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
  e: 'AQAB',
}
