import { join } from 'node:path'
import { type Test, test } from 'tap'
import {
  ConfigError,
  describeConfig,
  type Environment,
  isLoopback,
  readConfig,
} from '../../src/config/config.ts'

const WHSEC = `whsec_${'c2VjcmV0'.repeat(4)}`
const SECRET_FAULT = 'must be whsec_ and the base64 of 24 to 64 bytes; or two such, with a space between them'

function faultsOf(t: Test, environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    t.equal(error.message, error.faults.join('\n'))
    return error.faults
  }
}

test('the defaults', async (t) => {
  t.strictSame(readConfig({}), {
    host: '127.0.0.1',
    port: 9000,
    issuer: 'http://localhost:9000',
    managementHost: '127.0.0.1',
    managementPort: 9001,
    storeUrl: 'lmdb:./data',
    store: { kind: 'lmdb', folder: './data' },
    waitReplicas: 0,
    keysDir: './keys',
    keyRotationInterval: 0,
    signingAlgs: ['RS256'],
    accessTokenTtl: 300,
    refreshTokenIdleTtl: 1_209_600,
    refreshTokenMaxTtl: 7_776_000,
    refreshTokenGrace: 30,
    maxSessionsPerUser: 100,
    signInFailuresPerAccount: 10,
    signInFailuresPerNetwork: 100,
    signInFailuresInTotal: 2000,
    signInFailureWindow: 900,
    defaultAudience: 'http://localhost:9000',
    trustProxy: [],
    logLevel: 'info',
    verifyWebhookUrl: '',
    verifyWebhookSecret: '',
    auditLog: 'stdout',
    auditStreamLength: 10_000,
    auditWebhookUrl: '',
    auditWebhookSecret: '',
    workers: 1,
    passwordMinLength: 15,
    seedFile: '',
  })
})

test('defaults that follow another variable', async (t) => {
  t.match(readConfig({ PORT: '8080' }), {
    issuer: 'http://localhost:8080',
    defaultAudience: 'http://localhost:8080',
  })
  t.match(readConfig({ ISSUER: 'https://login.example' }), { defaultAudience: 'https://login.example' })
  t.match(readConfig({ ISSUER: 'https://login.example', DEFAULT_AUDIENCE: 'api' }), {
    defaultAudience: 'api',
  })
  t.match(
    readConfig({ PORT: '80' }),
    { issuer: /^http:\/\/localhost(:80)?$/ },
    'also the port that URLs leave out',
  )
  t.match(
    readConfig({ PORT: '08080' }),
    { port: 8080, issuer: 'http://localhost:8080' },
    'the port, not how it is spelt',
  )
})

test('every variable is read', async (t) => {
  const config = readConfig({
    ISSUER: 'https://login.example/pawl',
    HOST: '::',
    PORT: '443',
    MANAGEMENT_HOST: '0.0.0.0',
    MANAGEMENT_PORT: '9100',
    STORE_URL: 'redis://store.internal:6380/3',
    REDIS_WAIT_REPLICAS: '2',
    KEYS_DIR: '/run/secrets/keys',
    KEY_ROTATION_INTERVAL: '2592000',
    SIGNING_ALG: 'EdDSA, RS256',
    ACCESS_TOKEN_TTL: '60',
    REFRESH_TOKEN_IDLE_TTL: '3600',
    REFRESH_TOKEN_MAX_TTL: '86400',
    REFRESH_TOKEN_GRACE: '0',
    MAX_SESSIONS_PER_USER: '7',
    SIGN_IN_FAILURES_PER_ACCOUNT: '5',
    SIGN_IN_FAILURES_PER_NETWORK: '50',
    SIGN_IN_FAILURES_IN_TOTAL: '500',
    SIGN_IN_FAILURE_WINDOW: '60',
    DEFAULT_AUDIENCE: 'https://api.example',
    TRUST_PROXY: '10.0.0.0/8, 192.168.1.1 fd00::/8',
    LOG_LEVEL: 'debug',
    VERIFY_WEBHOOK_URL: 'https://users.internal/verify',
    VERIFY_WEBHOOK_SECRET: WHSEC,
    AUDIT_LOG: '/pawl-audit.log',
    AUDIT_STREAM_LENGTH: '0',
    AUDIT_WEBHOOK_URL: 'http://127.0.0.1:8080',
    AUDIT_WEBHOOK_SECRET: `${WHSEC} ${WHSEC}`,
    WORKERS: '4',
    PASSWORD_MIN_LENGTH: '8',
    SEED_FILE: '/run/config/seed.json',
  })
  t.strictSame(config, {
    issuer: 'https://login.example/pawl',
    host: '::',
    port: 443,
    managementHost: '0.0.0.0',
    managementPort: 9100,
    storeUrl: 'redis://store.internal:6380/3',
    store: { kind: 'redis', host: 'store.internal', port: 6380, db: 3, tls: false },
    waitReplicas: 2,
    keysDir: '/run/secrets/keys',
    keyRotationInterval: 2_592_000,
    signingAlgs: ['EdDSA', 'RS256'],
    accessTokenTtl: 60,
    refreshTokenIdleTtl: 3600,
    refreshTokenMaxTtl: 86400,
    refreshTokenGrace: 0,
    maxSessionsPerUser: 7,
    signInFailuresPerAccount: 5,
    signInFailuresPerNetwork: 50,
    signInFailuresInTotal: 500,
    signInFailureWindow: 60,
    defaultAudience: 'https://api.example',
    trustProxy: ['10.0.0.0/8', '192.168.1.1', 'fd00::/8'],
    logLevel: 'debug',
    verifyWebhookUrl: 'https://users.internal/verify',
    verifyWebhookSecret: WHSEC,
    auditLog: '/pawl-audit.log',
    auditStreamLength: 0,
    auditWebhookUrl: 'http://127.0.0.1:8080',
    auditWebhookSecret: `${WHSEC} ${WHSEC}`,
    workers: 4,
    passwordMinLength: 8,
    seedFile: '/run/config/seed.json',
  })
  t.ok(readConfig({ WORKERS: 'auto' }).workers >= 1)
})

test('every fault is told at once, each with the name of its variable', async (t) => {
  const faults = faultsOf(t, {
    ISSUER: 'http://login.example',
    HOST: 'not a host',
    PORT: '70000',
    MANAGEMENT_HOST: '',
    MANAGEMENT_PORT: '-1',
    STORE_URL: 'postgres://x',
    REDIS_WAIT_REPLICAS: 'many',
    KEY_ROTATION_INTERVAL: '3599',
    SIGNING_ALG: 'HS256',
    ACCESS_TOKEN_TTL: '0',
    REFRESH_TOKEN_IDLE_TTL: '1.5',
    REFRESH_TOKEN_MAX_TTL: '1e9',
    REFRESH_TOKEN_GRACE: '3601',
    DEFAULT_AUDIENCE: 'two words',
    TRUST_PROXY: 'yes',
    LOG_LEVEL: 'loud',
    VERIFY_WEBHOOK_URL: 'http://users.internal',
    VERIFY_WEBHOOK_SECRET: 'hunter2',
    AUDIT_LOG: '',
    AUDIT_STREAM_LENGTH: 'all',
    AUDIT_WEBHOOK_URL: 'https://ada:hunter2@siem.example',
    AUDIT_WEBHOOK_SECRET: 'whsec_AAAA',
    WORKERS: '257',
    PASSWORD_MIN_LENGTH: '7',
  })
  t.strictSame([...faults].sort(), [
    'ACCESS_TOKEN_TTL must be a whole number of seconds from 1 to 86400',
    'AUDIT_LOG must be stdout, stderr or the path of a file',
    'AUDIT_STREAM_LENGTH must be a whole number from 0 to 10000000',
    `AUDIT_WEBHOOK_SECRET ${SECRET_FAULT}`,
    'AUDIT_WEBHOOK_URL must hold no credentials, no query and no fragment',
    'DEFAULT_AUDIENCE must be 1 to 255 printable characters without a space',
    'HOST must be a host name or an address',
    'ISSUER must be https, except on loopback',
    'KEY_ROTATION_INTERVAL must be a whole number of seconds from 3600 to 316224000, or 0',
    'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent',
    'MANAGEMENT_HOST must be a host name or an address',
    'MANAGEMENT_PORT must be a whole number from 0 to 65535',
    'PASSWORD_MIN_LENGTH must be a whole number of characters from 8 to 64',
    'PORT must be a whole number from 0 to 65535',
    'REDIS_WAIT_REPLICAS must be a whole number from 0 to 10',
    'REFRESH_TOKEN_GRACE must be a whole number of seconds from 0 to 3600',
    'REFRESH_TOKEN_IDLE_TTL must be a whole number of seconds from 1 to 316224000',
    'REFRESH_TOKEN_MAX_TTL must be a whole number of seconds from 1 to 316224000',
    'SIGNING_ALG must be one of RS256, ES256, EdDSA, or several with commas, each once',
    'STORE_URL is none of lmdb:PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis-sentinel://H1:P,H2:P/NAME or redis-cluster://H1:P,H2:P',
    'TRUST_PROXY must be a list of addresses or networks such as 10.0.0.0/8, with commas between them',
    `VERIFY_WEBHOOK_SECRET ${SECRET_FAULT}`,
    'VERIFY_WEBHOOK_URL must be https, except on loopback',
    'WORKERS must be a whole number from 1 to 256, or auto',
  ])
})

test('a variable that is wrong is no fault of those whose defaults follow it', async (t) => {
  for (const PORT of ['', 'abc', '70000', '90 00']) {
    t.strictSame(faultsOf(t, { PORT }), ['PORT must be a whole number from 0 to 65535'], JSON.stringify(PORT))
  }
  t.strictSame(faultsOf(t, { ISSUER: 'x y' }), ['ISSUER must be a URL'])
  t.strictSame(faultsOf(t, { PORT: '1', PORT_FILE: '/x' }), [
    'PORT and PORT_FILE are both given: take one away',
  ])
})

test('numbers are whole numbers and nothing else', async (t) => {
  for (const text of [
    '',
    ' ',
    '30 ',
    '+30',
    '-30',
    '0x1e',
    '3e1',
    '30.0',
    '٣٠',
    '30s',
    '1'.repeat(11),
    'NaN',
  ]) {
    t.equal(faultsOf(t, { REFRESH_TOKEN_GRACE: text }).length, 1, JSON.stringify(text))
  }
  t.equal(readConfig({ REFRESH_TOKEN_GRACE: '3600' }).refreshTokenGrace, 3600)
  t.equal(readConfig({ REFRESH_TOKEN_GRACE: '030' }).refreshTokenGrace, 30)
})

test('signing algorithms are a list, in order and each once', async (t) => {
  const read = (SIGNING_ALG: string) => readConfig({ SIGNING_ALG }).signingAlgs
  t.strictSame(read('ES256'), ['ES256'])
  t.strictSame(read('EdDSA,RS256,ES256'), ['EdDSA', 'RS256', 'ES256'])
  for (const SIGNING_ALG of [
    '',
    'none',
    'es256',
    'RS256,',
    'RS256,RS256',
    'RS256 ES256',
    'Ed25519',
    'ES256,ES384',
  ]) {
    t.match(faultsOf(t, { SIGNING_ALG }), [/^SIGNING_ALG must be one of RS256, ES256, EdDSA,/], SIGNING_ALG)
  }
})

test('settings that do not go together', async (t) => {
  t.match(faultsOf(t, { PORT: '9001' }), [/^MANAGEMENT_PORT is also PORT/])
  t.strictSame(
    faultsOf(t, { PORT: '9001', MANAGEMENT_HOST: '10.0.0.1' }),
    [],
    'two hosts may have one port number',
  )
  t.match(faultsOf(t, { REFRESH_TOKEN_IDLE_TTL: '100', REFRESH_TOKEN_MAX_TTL: '99' }), [
    /^REFRESH_TOKEN_IDLE_TTL is longer/,
  ])
  t.strictSame(faultsOf(t, { REFRESH_TOKEN_IDLE_TTL: '100', REFRESH_TOKEN_MAX_TTL: '100' }), [])
  t.match(faultsOf(t, { PORT: '0' }), [/^ISSUER must be given when PORT is 0/])
  t.strictSame(faultsOf(t, { PORT: '0', MANAGEMENT_PORT: '0', ISSUER: 'http://localhost' }), [])
})

test('webhooks: an address and a secret, or neither', async (t) => {
  for (const name of ['VERIFY_WEBHOOK', 'AUDIT_WEBHOOK']) {
    const [url, secret] = [`${name}_URL`, `${name}_SECRET`]
    t.strictSame(faultsOf(t, { [url]: 'https://a.example' }), [`${secret} must be given with ${url}`])
    t.strictSame(faultsOf(t, { [secret]: WHSEC }), [`${url} must be given with ${secret}`])
    t.strictSame(faultsOf(t, { [url]: '', [secret]: '' }), [], 'empty is none')
    t.strictSame(faultsOf(t, { [url]: 'https://a.example', [secret]: '' }), [
      `${secret} must be given with ${url}`,
    ])
    t.strictSame(faultsOf(t, { [url]: '', [secret]: WHSEC }), [`${url} must be given with ${secret}`])
    const dir = t.testdir({ secret: `${WHSEC}\n`, empty: '\n' })
    const empty = join(dir, 'empty')
    for (const [given, emptied] of [
      [{ [url]: 'https://a.example' }, secret],
      [{ [secret]: WHSEC }, url],
    ] as const) {
      t.strictSame(faultsOf(t, { ...given, [`${emptied}_FILE`]: empty }), [
        `${emptied} is empty in the file that ${emptied}_FILE names`,
      ])
    }
    const fromFile = { [url]: 'https://a.example', [`${secret}_FILE`]: join(dir, 'secret') }
    t.strictSame(faultsOf(t, fromFile), [])
    t.notMatch(JSON.stringify(describeConfig(readConfig(fromFile))), 'whsec_', 'it is not shown')
    t.match(describeConfig(readConfig(fromFile)), { [secret]: '***' })
    const bad: [string, RegExp][] = [
      ['users.internal', /must be a URL/],
      ['ftp://127.0.0.1', /must be https/],
      ['http://10.0.0.1', /must be https/],
      ['https://a.example/?token=hunter2', /no query/],
      ['https://a.example/#', /no fragment/],
    ]
    for (const [text, fault] of bad) t.match(faultsOf(t, { [url]: text, [secret]: WHSEC }), [fault], text)
    const none = ['whsec_', `${WHSEC}  ${WHSEC}`, `${WHSEC} `, WHSEC.slice(6), `${WHSEC} ${WHSEC} ${WHSEC}`]
    for (const text of [...none, 'whsec_c2VjcmV0', `whsec_${'c2VjcmV0'.repeat(11)}`, `${WHSEC}!`]) {
      const faults = faultsOf(t, { [url]: 'https://a.example', [secret]: text })
      t.strictSame(faults, [`${secret} ${SECRET_FAULT}`], text)
    }
  }
})

test('a value may be in a file', async (t) => {
  const dir = t.testdir({
    url: 'redis://:hunter2@store:6379\n',
    port: ' 8080\r\n',
    issuer: 'https://login.example\n',
    empty: '',
  })
  const config = readConfig({ STORE_URL_FILE: join(dir, 'url'), PORT_FILE: join(dir, 'port') })
  t.match(config.store, { kind: 'redis', host: 'store', password: 'hunter2' }, 'without the line’s end')
  t.equal(config.port, 8080)
  t.equal(config.issuer, 'http://localhost:8080')
  t.match(readConfig({ PORT: '0', ISSUER_FILE: join(dir, 'issuer') }), { issuer: 'https://login.example' })

  t.strictSame(
    faultsOf(t, {
      STORE_URL_FILE: join(dir, 'not-there'),
      KEYS_DIR_FILE: dir,
      LOG_LEVEL_FILE: join(dir, 'empty'),
    }),
    [
      'STORE_URL cannot be read from the file that STORE_URL_FILE names (ENOENT)',
      'KEYS_DIR cannot be read from the file that KEYS_DIR_FILE names (EISDIR)',
      'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent',
    ],
  )
})

test('a variable and its file are not both taken', async (t) => {
  const dir = t.testdir({ url: 'redis://store' })
  const both = {
    STORE_URL: 'redis://store',
    STORE_URL_FILE: join(dir, 'url'),
    LOG_LEVEL: 'info',
    LOG_LEVEL_FILE: '/x',
  }
  t.strictSame(faultsOf(t, both), [
    'STORE_URL and STORE_URL_FILE are both given: take one away',
    'LOG_LEVEL and LOG_LEVEL_FILE are both given: take one away',
  ])
})

test('issuers', async (t) => {
  const good = [
    'https://login.example',
    'https://login.example/pawl',
    'https://login.example:8443/a/b',
    'http://localhost',
    'http://localhost:9000/x',
    'http://127.0.0.1:9000',
    'http://127.9.9.9',
    'http://[::1]:9000',
  ]
  for (const issuer of good) t.equal(readConfig({ ISSUER: issuer }).issuer, issuer, issuer)

  const bad: [string, RegExp][] = [
    ['', /must be a URL/],
    ['login.example', /must be a URL/],
    ['http://login.example', /must be https, except on loopback/],
    ['http://localhost.example', /must be https/],
    ['http://127.0.0.1.example', /must be https/],
    ['http://10.0.0.1', /must be https/],
    ['ftp://localhost', /must be https/],
    ['https://login.example?x=1', /no query/],
    ['https://login.example?', /no query/],
    ['https://login.example#x', /no fragment/],
    ['https://login.example#', /no fragment/],
    ['https://ada:secret@login.example', /no credentials/],
    ['https://ada@login.example', /no credentials/],
    ['https://login.example/', /written plainly, .* as https:\/\/login\.example$/],
    ['https://login.example/pawl/', /written plainly, .* as https:\/\/login\.example\/pawl$/],
    ['https://login.example/a/../b', /written plainly, .* as https:\/\/login\.example\/b$/],
    ['https://Login.Example', /written plainly, .* as https:\/\/login\.example$/],
    ['HTTPS://login.example', /written plainly/],
    ['https://login.example:443', /written plainly/],
    ['https://login.example/a b', /written plainly/],
    [' https://login.example', /written plainly/],
  ]
  for (const [issuer, fault] of bad) {
    const faults = faultsOf(t, { ISSUER: issuer, DEFAULT_AUDIENCE: 'api' })
    t.equal(faults.length, 1, issuer)
    t.match(faults[0], new RegExp(`^ISSUER .*${fault.source}`), issuer)
  }
})

test('loopback hosts', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.255.0.3', '::1', '[::1]']) t.ok(isLoopback(host), host)
  for (const host of [
    '0.0.0.0',
    '::',
    'localhost.example',
    '127.0.0.1.example',
    '1127.0.0.1',
    '128.0.0.1',
    '',
  ]) {
    t.notOk(isLoopback(host), host)
  }
})

test('proxies are trusted by address alone', async (t) => {
  t.strictSame(readConfig({ TRUST_PROXY: '' }).trustProxy, [])
  t.strictSame(readConfig({ TRUST_PROXY: '10.0.0.1' }).trustProxy, ['10.0.0.1'])
  t.strictSame(readConfig({ TRUST_PROXY: '::1/128,10.0.0.0/0' }).trustProxy, ['::1/128', '10.0.0.0/0'])
  for (const text of [
    'true',
    '*',
    '1',
    'loopback',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '10.0.0/8',
    '10.0.0.0/-1',
  ]) {
    t.match(faultsOf(t, { TRUST_PROXY: text }), [/^TRUST_PROXY must be a list/], text)
  }
})

test('what is shown: by name, in full, and without secrets', async (t) => {
  const shown = describeConfig(readConfig({ STORE_URL: 'redis://pawl:hunter2@store:6379/1' }))
  t.strictSame(shown, {
    HOST: '127.0.0.1',
    PORT: 9000,
    ISSUER: 'http://localhost:9000',
    MANAGEMENT_HOST: '127.0.0.1',
    MANAGEMENT_PORT: 9001,
    STORE_URL: 'redis://***@store:6379/1',
    REDIS_WAIT_REPLICAS: 0,
    KEYS_DIR: './keys',
    KEY_ROTATION_INTERVAL: 0,
    SIGNING_ALG: ['RS256'],
    ACCESS_TOKEN_TTL: 300,
    REFRESH_TOKEN_IDLE_TTL: 1209600,
    REFRESH_TOKEN_MAX_TTL: 7776000,
    REFRESH_TOKEN_GRACE: 30,
    MAX_SESSIONS_PER_USER: 100,
    SIGN_IN_FAILURES_PER_ACCOUNT: 10,
    SIGN_IN_FAILURES_PER_NETWORK: 100,
    SIGN_IN_FAILURES_IN_TOTAL: 2000,
    SIGN_IN_FAILURE_WINDOW: 900,
    DEFAULT_AUDIENCE: 'http://localhost:9000',
    TRUST_PROXY: [],
    LOG_LEVEL: 'info',
    VERIFY_WEBHOOK_URL: '',
    VERIFY_WEBHOOK_SECRET: '',
    AUDIT_LOG: 'stdout',
    AUDIT_STREAM_LENGTH: 10_000,
    AUDIT_WEBHOOK_URL: '',
    AUDIT_WEBHOOK_SECRET: '',
    WORKERS: 1,
    PASSWORD_MIN_LENGTH: 15,
    SEED_FILE: '',
  })
  const urls = [
    'redis://:hunter2@store',
    'rediss://hunter2:hunter2@store',
    'redis-cluster://:hunter2@a,b',
    'redis-sentinel://:hunter2@a,b/primary?sentinel_password=hunter2&db=1',
  ]
  for (const url of urls) {
    t.notMatch(JSON.stringify(describeConfig(readConfig({ STORE_URL: url }))), 'hunter2', url)
  }
})

test('no fault repeats a secret', async (t) => {
  const urls = [
    'redis://:hunter2@store:99999',
    'redis://:hunter2%zz@store',
    'redis://:hunter2@store/x',
    'redis://:hunter2@a,b',
    'redis://hunter2/hunter2@store',
    'http://hunter2',
    'redis-sentinel://:hunter2@a',
    'redis-cluster://:hunter2@a/1',
    'hunter2',
  ]
  for (const url of urls) {
    const faults = faultsOf(t, { STORE_URL: url })
    t.match(faults, [/^STORE_URL /], url)
    t.notMatch(faults.join(), 'hunter2')
  }
  t.notMatch(
    faultsOf(t, { ISSUER: 'https://ada:hunter2@login.example', DEFAULT_AUDIENCE: 'x' }).join(),
    'hunter2',
  )
})
