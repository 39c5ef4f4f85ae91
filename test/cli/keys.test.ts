import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { deploy } from '../support/deployment.ts'
import { refresh, signIn } from '../support/http-client.ts'
import { ringFileOf } from '../support/key-rings.ts'

const headerOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())

t.test('pawl keys', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { ISSUER: 'http://localhost:9000' } })
  const { cli } = deployment
  const keysDir = join(deployment.cwd, 'keys')
  const at = (...path: string[]) => join(keysDir, ...path)
  const list = async () =>
    (await cli(['keys', 'list', '--json'])).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>)
  const ada = await deployment.addAccount('ada')

  t.test('a look makes nothing', async (t) => {
    t.match(await cli(['keys', 'list']), {
      code: 1,
      stdout: '',
      stderr: `${keysDir} is missing. Start the server once`,
    })
    t.throws(() => statSync(keysDir), { code: 'ENOENT' })
  })

  t.test('the first ones are made by the first start', async (t) => {
    await (await deployment.startServer()).stop()
    const keys = await list()
    t.match(keys, [
      { use: 'signing', state: 'active', id: /^[\w-]{43}$/ },
      { use: 'refresh', state: 'active', id: /^[0-9a-f]{8}$/ },
    ])
    t.equal(keys.length, 2)
    for (const name of readdirSync(keysDir, { recursive: true, encoding: 'utf8' })) {
      const { mode } = statSync(at(name))
      t.equal(mode & 0o077, 0, `${name} is nobody else's business`)
    }
    t.strictSame(await list(), keys, 'and stay')
    const table = await cli(['keys', 'list'])
    const since = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ'
    const lines = [
      'USE +ID +ALG +STATE +SINCE +NEXT',
      `signing +[\\w-]{43} +RS256 +active +${since} +-`,
      `refresh +[0-9a-f]{8} +HS256 +active +${since} +-`,
    ]
    t.match(table.stdout, new RegExp(`^${lines.join('\n')}\n$`))
  })

  t.test(
    'generate: published and verifying, not yet used; then used; the old ones still verify',
    async (t) => {
      const [signing, secret] = await list()
      const made = await cli(['keys', 'generate', '--json'])
      t.equal(made.code, 0)
      const { use, id } = JSON.parse(made.stdout)
      t.match({ use, id }, { use: 'signing', id: /^[\w-]{43}$/ })
      t.match(await cli(['keys', 'generate', '--use', 'refresh']), {
        code: 0,
        stdout: /^Added the refresh key [0-9a-f]{8} to /,
      })
      t.match((await list()).map((key) => `${key.use} ${key.state}`).sort(), [
        'refresh active',
        'refresh next',
        'signing active',
        'signing next',
      ])

      const before = await deployment.startServer()
      const g0 = await signIn(before.url, ada)
      t.equal(headerOf(g0.access_token).kid, signing?.id, 'the first one still signs')
      await before.stop()

      const newSecret = (await list()).find((key) => key.use === 'refresh' && key.id !== secret?.id)
      for (const next of [id, newSecret?.id ?? '']) {
        t.match(await cli(['keys', 'promote', next, '--force']), { code: 0, stdout: /^Promoted the / })
      }
      const after = await deployment.startServer()
      const g1 = await refresh(after.url, g0.refresh_token, { client_id: 'ada' })
      t.equal(headerOf(g1.access_token).kid, id, 'the new one signs')
      t.ok(await refresh(after.url, g1.refresh_token, { client_id: 'ada' }), 'and the session goes on')
      const keySet = createRemoteJWKSet(new URL(`${after.url}/.well-known/jwks.json`))
      for (const { access_token } of [g0, g1])
        t.ok(await jwtVerify(access_token, keySet), 'both verify by the published keys')
      await after.stop()
    },
  )

  t.test('C39 files that cannot be used: which, and the mend; and nothing is overwritten', async (t) => {
    const [{ id: kid = '' } = {}] = await list()
    const pem = at('signing', `${kid}.pem`)
    const good = readFileSync(pem)
    const ring = ringFileOf(keysDir, 'signing')
    const goodRing = readFileSync(ring)
    const secretFile = at('refresh', readdirSync(at('refresh')).find((name) => name.endsWith('.key')) ?? '')
    const goodSecret = readFileSync(secretFile)
    const rsa = (modulusLength: number) =>
      generateKeyPairSync('rsa', { modulusLength }).privateKey.export({ type: 'pkcs8', format: 'pem' })
    const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    })
    const rows: [name: string, spoil: () => void, mend: () => void, says: string[]][] = [
      [
        'a key open to others',
        () => chmodSync(pem, 0o644),
        () => chmodSync(pem, 0o600),
        [pem, 'mode 644', `chmod 600 ${pem}`],
      ],
      [
        'a folder open to others',
        () => chmodSync(keysDir, 0o755),
        () => chmodSync(keysDir, 0o700),
        [keysDir, 'mode 755', `chmod 700 ${keysDir}`],
      ],
      [
        'a secret open to others',
        () => chmodSync(secretFile, 0o640),
        () => chmodSync(secretFile, 0o600),
        [secretFile, 'chmod 600'],
      ],
      [
        'no PEM',
        () => writeFileSync(pem, 'x'),
        () => writeFileSync(pem, good),
        [pem, 'no readable private key'],
      ],
      [
        'an empty key',
        () => writeFileSync(pem, ''),
        () => writeFileSync(pem, good),
        [pem, 'no readable private key'],
      ],
      [
        'a short key',
        () => writeFileSync(pem, rsa(1024)),
        () => writeFileSync(pem, good),
        [pem, '1024 bits', '2048'],
      ],
      [
        'a key of another algorithm',
        () => writeFileSync(pem, elliptic),
        () => writeFileSync(pem, good),
        [pem, 'a key for ES256', 'for RS256', 'signing-es256'],
      ],
      [
        'a short secret',
        () => writeFileSync(secretFile, 'x'),
        () => writeFileSync(secretFile, goodSecret),
        [secretFile, '32 bytes'],
      ],
      [
        'a ring file that is none',
        () => writeFileSync(ring, 'x'),
        () => writeFileSync(ring, goodRing),
        [ring, 'is no list of keys'],
      ],
    ]
    for (const [name, spoil, mend, says] of rows) {
      spoil()
      const content = snapshot(keysDir)
      const results = await Promise.all([cli(['serve']), cli(['keys', 'list'])])
      for (const { code, stderr } of results) {
        t.equal(code, 1, name)
        for (const words of says) t.ok(stderr.includes(words), `${name}: says ${words.slice(-40)}`)
        t.notMatch(stderr, /\n +at /, `${name}: no stack`)
      }
      t.strictSame(snapshot(keysDir), content, `${name}: nothing is overwritten`)
      mend()
    }
    rmSync(at('refresh'), { recursive: true })
    const content = snapshot(keysDir)
    const { code, stderr } = await cli(['serve'])
    t.match(
      { code, stderr },
      { code: 1, stderr: /is missing/ },
      'secrets that are gone are not made anew in silence',
    )
    t.ok(stderr.includes(at('refresh')))
    t.strictSame(snapshot(keysDir), content)
  })
})

function snapshot(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name)
      return statSync(path).isFile() ? `${name} ${readFileSync(path, 'base64')}` : name
    })
}
