import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { ConfigError, describeConfig, isLoopback, readConfig, VARIABLES } from '../../../src/config/config.ts'
import { readSeedFile } from '../../../src/config/seed-file.ts'
import { parseStoreUrl, redactStoreUrl } from '../../../src/stores/location.ts'
import { mustNotEcho } from '../echo.ts'
import { mustBe, outcomeOf, type Target } from '../target.ts'

const NAMES = Object.values(VARIABLES).map(({ name }) => name)
const SECRET = /^(STORE_URL|.*_SECRET)$/

const value = fc.oneof(
  fc.constantFrom('0', '1', '300', '3600', '65535', '65536', '-1', '1e3', ' 5', '٣', 'auto', 'info', ''),
  fc.constantFrom(
    '127.0.0.1',
    '::1',
    'localhost',
    '10.0.0.0/8',
    '10.0.0.0/33',
    '::/129',
    'a b',
    '[::1]',
    'x'.repeat(300),
  ),
  fc.constantFrom(
    'https://login.example',
    'http://localhost:9000',
    'https://login.example/a/',
    'https://u:p@h',
    'ftp://x',
  ),
  fc.constantFrom(
    'https://LOGIN.example',
    'https://a//b',
    'https://a/:id',
    'http://127.1',
    'https://a?',
    'https://a#',
  ),
  fc.constantFrom('redis://h:1/0', 'rediss://u:secret@h', 'lmdb:x', 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0'),
  fc.webUrl(),
  fc.string({ maxLength: 20 }),
)

export const CONFIG: Target = {
  name: 'config',
  share: 70,
  grammar: fc.tuple(fc.constantFrom(...NAMES), value).map(([name, value]) => `${name}=${value}`),
  hold(input) {
    const text = input.toString()
    const equals = text.indexOf('=')
    const name = text.slice(0, equals)
    const value = text.slice(equals + 1)
    // A webhook has a URL and a secret, or neither.
    const partner = {
      ...(name.endsWith('_URL') && {
        [name.replace(/_URL$/, '_SECRET')]: `whsec_${Buffer.alloc(32).toString('base64')}`,
      }),
      ...(name.endsWith('_SECRET') && { [name.replace(/_SECRET$/, '_URL')]: 'https://hook.example' }),
    }
    const environment = { ...partner, [name]: value }
    const outcome = outcomeOf(() => readConfig(environment), ConfigError)
    if ('error' in outcome) {
      const { faults } = outcome.error as ConfigError
      mustBe(
        faults.length > 0 && faults.every((fault) => /^[A-Z_]+ /.test(fault)),
        'a fault that names no variable',
      )
      if (SECRET.test(name)) mustNotEcho(outcome.error.message, value)
      return
    }
    const config = outcome.value
    const numbers = Object.values(config).filter((one) => typeof one === 'number')
    mustBe(
      numbers.every((one) => Number.isSafeInteger(one) && one >= 0 && one <= 1e10),
      'a number that is none',
    )
    const shown = JSON.stringify(describeConfig(config))
    if (NAMES.includes(name) && name.endsWith('_SECRET') && value !== '')
      mustBe(!shown.includes(value), 'a secret is shown')
    const { protocol, hostname, search, hash, username, pathname } = new URL(config.issuer)
    mustBe(protocol === 'https:' || isLoopback(hostname), 'an issuer without TLS')
    mustBe(search + hash + username === '' && !/[:*()]/.test(pathname), 'an issuer with more than a path')
    mustBe(
      [config.issuer, `${config.issuer}/`].includes(new URL(config.issuer).href),
      'an issuer of two spellings',
    )
  },
}

const password = 'p4ssw0rd-of-the-store'
const scheme = fc.constantFrom('redis', 'rediss', 'redis-sentinel', 'redis-cluster', 'lmdb', 'http')
const access = fc.oneof(
  fc.constantFrom(
    '',
    `:${password}@`,
    `ada:${password}@`,
    'ada@',
    '@',
    ':%zz@',
    `a:b:${password}@`,
    `%3a:${password}@`,
  ),
)
const hosts = fc.oneof(
  fc.constantFrom(
    'localhost',
    'h:1',
    'h1:1,h2:2',
    '[::1]:6379',
    '::1',
    'h:0',
    'h:65536',
    ',',
    'h:',
    '',
    'h\n',
  ),
)
const path = fc.constantFrom('', '/', '/0', '/15', '/99999', '/mymaster', '/%zz', '/a/b', '/\n')
const query = fc.constantFrom(
  ...[
    '',
    '?',
    '?tls=true',
    '?tls=yes',
    '?db=1',
    `?sentinel_password=${password}`,
    '?x',
    `?db=1&sentinel_password=${password}\n`,
  ],
)

/** The URL without credentials and query, by looking for where they begin and end. */
function redacted(url: string): string {
  const begin = url.indexOf('://') + 3
  const rest = url.slice(begin)
  const at = rest.indexOf('@')
  const slash = rest.indexOf('/')
  const shown = at >= 0 && (slash < 0 || at < slash) ? `***@${rest.slice(at + 1)}` : rest
  const query = shown.indexOf('?')
  return url.slice(0, begin) + (query < 0 ? shown : `${shown.slice(0, query)}?***`)
}

export const STORE_URL: Target = {
  name: 'store-url',
  share: 80,
  grammar: fc
    .tuple(scheme, access, hosts, path, query)
    .map(([scheme, ...rest]) => `${scheme}://${rest.join('')}`),
  hold(input) {
    const url = input.toString()
    const outcome = outcomeOf(() => parseStoreUrl(url), TypeError)
    if ('error' in outcome) return mustNotEcho(outcome.error.message, url)
    const location = outcome.value
    if (location.kind === 'lmdb') return mustBe(location.folder !== '', 'no folder')
    mustBe(redactStoreUrl(url) === redacted(url), 'more is shown, or less')
    const nodes =
      'nodes' in location ? location.nodes : 'sentinels' in location ? location.sentinels : [location]
    mustBe(nodes.length > 0, 'no host')
    for (const { host, port } of nodes) {
      mustBe(Number.isInteger(port) && port > 0 && port < 65_536, 'a port that is none')
      mustBe(host !== '' && !/[\s,[\]@/?]/.test(host), 'a host that is none')
    }
    if ('db' in location) mustBe(Number.isInteger(location.db) && location.db >= 0, 'a database that is none')
  },
}

// The rules are asked elsewhere; here every password is good.
const RULES = { fault: () => undefined }
const SECRETS = { client_secret: 'S3cr3tOfAClientThatNobodyGuesses01', password: 'p4ssw0rd of a user' }
const member = (name: string, ...values: unknown[]) =>
  fc.constantFrom(...values).map((value) => (value === undefined ? {} : { [name]: value }))
const objectOf = (...members: fc.Arbitrary<object>[]) =>
  fc.tuple(...members).map((parts) => Object.assign({}, ...parts) as object)
const client = objectOf(
  member('client_id', 'web', 'app', 'api', '', 'usr_x', 5, undefined),
  member('type', 'public', 'confidential', 'other'),
  member('grants', undefined, ['password', 'refresh_token'], ['implicit'], 'password', [null]),
  member('scopes', undefined, ['read'], ['a b'], [1]),
  member('client_secret', undefined, SECRETS.client_secret, 'short', 7),
  member('client_secret_hash', undefined, 'A'.repeat(43), 'x'),
  member('claims', undefined, { a: 1 }, { sub: 'x' }, []),
  member('access_token_ttl', undefined, 300, 0, 1.5, '300', -1),
  member('__proto__', undefined, { type: 'public' }),
)
const user = objectOf(
  member('username', 'ada', 'ADA', '', 5, undefined),
  member('password', SECRETS.password, undefined, null),
  member(
    'password_hash',
    undefined,
    '$2b$12$x',
    `$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$${'A'.repeat(43)}`,
  ),
  member('sub', undefined, 'usr_1', 'web', 'a b', 5),
  member('disabled', undefined, true, 'yes'),
)
const folder = mkdtempSync(join(tmpdir(), 'pawl-fuzz-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const seedFile = join(folder, 'seed')

export const SEED_FILE: Target = {
  name: 'seed-file',
  share: 15,
  grammar: fc
    .record({ clients: fc.array(client, { maxLength: 3 }), users: fc.array(user, { maxLength: 3 }) })
    .map((seed) => JSON.stringify(seed)),
  hold(input) {
    // Files that the seed names are not what is tried here.
    if (input.includes('_file')) return
    writeFileSync(seedFile, input)
    const outcome = outcomeOf(() => readSeedFile(seedFile, RULES), ConfigError)
    if ('error' in outcome) {
      for (const secret of Object.values(SECRETS))
        mustBe(!outcome.error.message.includes(secret), 'a secret is repeated')
      return
    }
    const { clients, users } = outcome.value
    const ids = clients.map(({ clientId }) => clientId)
    mustBe(new Set(ids).size === ids.length, 'a client twice')
    for (const { type, secretHash } of clients)
      mustBe((type === 'confidential') === (secretHash !== undefined), 'a secret lacks, or is too many')
    for (const { sub, password, passwordHash } of users) {
      mustBe((password === undefined) !== (passwordHash === undefined), 'not one password')
      mustBe(sub === undefined || !ids.includes(sub), 'the sub of a client’s own tokens')
    }
  },
}
