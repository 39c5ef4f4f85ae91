import { existsSync, readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { isAudience } from '../accounts/client.ts'
import { DEFAULT_MIN_LENGTH, LEAST_MIN_LENGTH, MOST_MIN_LENGTH } from '../accounts/password-rules.ts'
import { parseStoreUrl, redactStoreUrl, type StoreLocation } from '../stores/location.ts'
import { SIGNING_ALGS, type SigningAlg } from '../tokens/signing-key.ts'
import { parseWebhookSecrets } from '../webhooks/signing.ts'

/** The effective configuration. Durations are seconds. */
export interface Config {
  readonly issuer: string
  readonly host: string
  readonly port: number
  readonly managementHost: string
  readonly managementPort: number
  readonly storeUrl: string
  readonly store: StoreLocation
  readonly waitReplicas: number
  readonly keysDir: string
  readonly keyRotationInterval: number
  /** The default first. */
  readonly signingAlgs: readonly SigningAlg[]
  readonly accessTokenTtl: number
  readonly refreshTokenIdleTtl: number
  readonly refreshTokenMaxTtl: number
  readonly refreshTokenGrace: number
  readonly maxSessionsPerUser: number
  readonly signInFailuresPerAccount: number
  readonly signInFailuresPerNetwork: number
  readonly signInFailuresInTotal: number
  readonly signInFailureWindow: number
  readonly defaultAudience: string
  readonly trustProxy: readonly string[]
  readonly logLevel: LogLevel
  /** Empty where there is none. */
  readonly verifyWebhookUrl: string
  readonly verifyWebhookSecret: string
  readonly auditLog: string
  readonly auditStreamLength: number
  /** Empty where there is none. */
  readonly auditWebhookUrl: string
  readonly auditWebhookSecret: string
  readonly workers: number
  /** In code points. */
  readonly passwordMinLength: number
  /** Empty where there is none. */
  readonly seedFile: string
}

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type Environment = Readonly<Record<string, string | undefined>>

/** Everything that is wrong with the configuration, at once: one line per variable, its name first. */
export class ConfigError extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.name = 'ConfigError'
    this.faults = faults
  }
}

/** A variable: what it is called, what it means, and how its text is read. `read` throws a TypeError: "PORT " + message. */
interface Variable<T> {
  readonly name: string
  readonly meaning: string
  /** The default; or what makes it of the variables above it, `undefined` where these are wrong. */
  readonly fallback: string | ((values: Readonly<Record<string, unknown>>) => string | undefined)
  readonly read: (text: string) => T
}

const DAY = 86_400
const YEAR = 366 * DAY

const seconds = (least: number, most: number) => (text: string) => wholeNumber(text, least, most, 'seconds')
const port = (text: string) => wholeNumber(text, 0, 65_535)

export const VARIABLES = {
  host: variable('HOST', '127.0.0.1', 'public listener', hostName),
  port: variable('PORT', '9000', 'public listener; 0 for any free port', port),
  issuer: variable(
    'ISSUER',
    ({ port }) => (port === undefined ? undefined : new URL(`http://localhost:${port}`).origin),
    'exact iss of tokens; https unless loopback',
    issuerUrl,
  ),
  managementHost: variable('MANAGEMENT_HOST', '127.0.0.1', 'health listener', hostName),
  managementPort: variable('MANAGEMENT_PORT', '9001', 'health listener; 0 for any free port', port),
  storeUrl: variable(
    'STORE_URL',
    'lmdb:./data',
    'lmdb:PATH, redis://, rediss://, redis-sentinel:// or redis-cluster://',
    storeUrl,
  ),
  waitReplicas: variable(
    'REDIS_WAIT_REPLICAS',
    '0',
    'Redis replicas that must have a sign-in or revocation before it is answered',
    (text) => wholeNumber(text, 0, 10),
  ),
  keysDir: variable('KEYS_DIR', './keys', 'signing keys and refresh-token secrets', folder),
  keyRotationInterval: variable(
    'KEY_ROTATION_INTERVAL',
    '0',
    'seconds after which servers put the next key in the place of the active one; 0 is never',
    rotationInterval,
  ),
  signingAlgs: variable(
    'SIGNING_ALG',
    'RS256',
    `what access tokens are signed with: ${SIGNING_ALGS.join(', ')}; or several, the default first`,
    signingAlgs,
  ),
  accessTokenTtl: variable('ACCESS_TOKEN_TTL', '300', 'seconds an access token lives', seconds(1, DAY)),
  refreshTokenIdleTtl: variable(
    'REFRESH_TOKEN_IDLE_TTL',
    String(14 * DAY),
    'seconds without a refresh that end a session',
    seconds(1, 10 * YEAR),
  ),
  refreshTokenMaxTtl: variable(
    'REFRESH_TOKEN_MAX_TTL',
    String(90 * DAY),
    'seconds after sign-in that end a session',
    seconds(1, 10 * YEAR),
  ),
  refreshTokenGrace: variable(
    'REFRESH_TOKEN_GRACE',
    '30',
    'seconds in which the predecessor of a refresh token still answers; 0 is strict',
    seconds(0, 3600),
  ),
  maxSessionsPerUser: variable(
    'MAX_SESSIONS_PER_USER',
    '100',
    'sessions of a user beyond which a sign-in ends the one longest unused; 0 for any number',
    (text) => wholeNumber(text, 0, 1000),
  ),
  signInFailuresPerAccount: variable(
    'SIGN_IN_FAILURES_PER_ACCOUNT',
    '10',
    'failed sign-ins for one account from one network, in the window, before more are refused unseen',
    (text) => wholeNumber(text, 1, 100_000),
  ),
  signInFailuresPerNetwork: variable(
    'SIGN_IN_FAILURES_PER_NETWORK',
    '100',
    'the same from one network, for accounts that have not signed in from there before',
    (text) => wholeNumber(text, 1, 1_000_000),
  ),
  signInFailuresInTotal: variable(
    'SIGN_IN_FAILURES_IN_TOTAL',
    '2000',
    'the same from everywhere together',
    (text) => wholeNumber(text, 1, 10_000_000),
  ),
  signInFailureWindow: variable(
    'SIGN_IN_FAILURE_WINDOW',
    '900',
    'seconds for which failed sign-ins count',
    seconds(1, DAY),
  ),
  defaultAudience: variable(
    'DEFAULT_AUDIENCE',
    ({ issuer }) => issuer as string | undefined,
    'aud of access tokens where the client names none',
    audience,
  ),
  trustProxy: variable('TRUST_PROXY', '', 'CIDR list of proxies whose X-Forwarded-For counts', cidrList),
  logLevel: variable('LOG_LEVEL', 'info', LOG_LEVELS.join(', '), oneOf(LOG_LEVELS)),
  verifyWebhookUrl: variable(
    'VERIFY_WEBHOOK_URL',
    '',
    'verifies users without a password here; https unless loopback',
    webhookUrl,
  ),
  verifyWebhookSecret: variable(
    'VERIFY_WEBHOOK_SECRET',
    '',
    'whsec_…, which signs what goes there',
    webhookSecret,
  ),
  auditLog: variable('AUDIT_LOG', 'stdout', 'stdout (the log), stderr, or a file', auditLog),
  auditStreamLength: variable(
    'AUDIT_STREAM_LENGTH',
    '10000',
    'audit events kept in the store for pawl audit list; 0 for none',
    (text) => wholeNumber(text, 0, 10_000_000),
  ),
  auditWebhookUrl: variable(
    'AUDIT_WEBHOOK_URL',
    '',
    'gets every audit event; https unless loopback',
    webhookUrl,
  ),
  auditWebhookSecret: variable(
    'AUDIT_WEBHOOK_SECRET',
    '',
    'whsec_…, which signs what goes there',
    webhookSecret,
  ),
  workers: variable('WORKERS', '1', 'server processes; auto for one per core', workerCount),
  passwordMinLength: variable(
    'PASSWORD_MIN_LENGTH',
    String(DEFAULT_MIN_LENGTH),
    'characters that a new password has at least',
    (text) => wholeNumber(text, LEAST_MIN_LENGTH, MOST_MIN_LENGTH, 'characters'),
  ),
  seedFile: variable(
    'SEED_FILE',
    '',
    'a JSON file of clients and users that there are to be when the server starts',
    (text) => text,
  ),
}

/**
 * Reads the configuration from environment variables. Where `NAME_FILE` is given, the value is in that file.
 *
 * @throws {ConfigError} with every fault at once.
 */
export function readConfig(environment: Environment): Config {
  const faults: string[] = []
  const values: Record<string, unknown> = {}

  function read<T>({ name, fallback, read }: Variable<T>): T | undefined {
    try {
      const text = textOf(environment, name) ?? (typeof fallback === 'string' ? fallback : fallback(values))
      // What its default is made of is wrong, and says so itself.
      return text === undefined ? undefined : read(text)
    } catch (error) {
      faults.push(`${name} ${(error as Error).message}`)
      return undefined
    }
  }

  // In the order of the table, so that a default can be made of an earlier variable's value.
  for (const [key, variable] of Object.entries(VARIABLES)) values[key] = read(variable as Variable<unknown>)
  const effective = values as { [K in keyof typeof VARIABLES]: ReturnType<(typeof VARIABLES)[K]['read']> }

  const isInFile = (name: string) => environment[`${name}_FILE`] !== undefined

  const { host, port, managementHost, managementPort, refreshTokenIdleTtl, refreshTokenMaxTtl } = effective
  if (port !== undefined && port !== 0 && port === managementPort && host === managementHost) {
    faults.push('MANAGEMENT_PORT is also PORT: health and metrics must not be on the public listener')
  }
  if (refreshTokenIdleTtl > refreshTokenMaxTtl) {
    faults.push(
      'REFRESH_TOKEN_IDLE_TTL is longer than REFRESH_TOKEN_MAX_TTL, which would never let it end a session',
    )
  }
  if (port === 0 && environment.ISSUER === undefined && environment.ISSUER_FILE === undefined) {
    faults.push('ISSUER must be given when PORT is 0: its default is made of the port')
  }
  for (const kind of ['verifyWebhook', 'auditWebhook'] as const) {
    const pair = [`${kind}Url`, `${kind}Secret`] as const
    const [url, secret] = pair.map((key) => VARIABLES[key].name)
    // What is wrong has been given, and says so itself.
    const [hasUrl, hasSecret] = pair.map((key) => effective[key] !== '' || isInFile(VARIABLES[key].name))
    if (hasUrl && !hasSecret) faults.push(`${secret} must be given with ${url}`)
    if (hasSecret && !hasUrl) faults.push(`${url} must be given with ${secret}`)
    for (const key of pair) {
      const { name } = VARIABLES[key]
      if (effective[key] === '' && isInFile(name))
        faults.push(`${name} is empty in the file that ${name}_FILE names`)
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)
  const { url, location } = effective.storeUrl
  return { ...effective, storeUrl: url, store: location }
}

/** What `describeConfig` never shows. */
const SECRETS: ReadonlySet<keyof Config> = new Set(['verifyWebhookSecret', 'auditWebhookSecret'])

/** The configuration as it may be shown: by variable name, secrets redacted. */
export function describeConfig(config: Config): Record<string, string | number | readonly string[]> {
  const shown = (key: Exclude<keyof Config, 'store'>) =>
    SECRETS.has(key) && config[key] !== '' ? '***' : config[key]
  return Object.fromEntries(
    Object.entries(VARIABLES).map(([key, { name }]) => [
      name,
      key === 'storeUrl' ? redactStoreUrl(config.storeUrl) : shown(key as Exclude<keyof Config, 'store'>),
    ]),
  )
}

function variable<T>(
  name: string,
  fallback: Variable<T>['fallback'],
  meaning: string,
  read: (text: string) => T,
): Variable<T> {
  return { name, fallback, meaning, read }
}

/**
 * The text of a variable, or of the file that `NAME_FILE` names.
 *
 * @throws {TypeError} with a message that continues the name.
 */
export function textOf(environment: Environment, name: string): string | undefined {
  const value = environment[name]
  const file = environment[`${name}_FILE`]
  if (value !== undefined && file !== undefined) {
    throw new TypeError(`and ${name}_FILE are both given: take one away`)
  }
  if (file === undefined) return value
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new TypeError(`cannot be read from the file that ${name}_FILE names (${code})`)
  }
}

function wholeNumber(text: string, least: number, most: number, unit = ''): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) {
    throw new TypeError(`must be a whole number${unit && ` of ${unit}`} from ${least} to ${most}`)
  }
  return value
}

function rotationInterval(text: string): number {
  if (/^0{1,10}$/.test(text)) return 0
  try {
    return wholeNumber(text, 3600, 10 * YEAR, 'seconds')
  } catch (error) {
    throw new TypeError(`${(error as Error).message}, or 0`)
  }
}

function signingAlgs(text: string): readonly SigningAlg[] {
  const names = text.split(',').map((name) => name.trim())
  const algs = SIGNING_ALGS.filter((alg) => names.includes(alg))
  if (algs.length !== names.length) {
    throw new TypeError(`must be one of ${SIGNING_ALGS.join(', ')}, or several with commas, each once`)
  }
  return algs.sort((a, b) => names.indexOf(a) - names.indexOf(b))
}

const MAX_WORKERS = 256

function workerCount(text: string): number {
  if (text === 'auto') return availableParallelism()
  const value = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > MAX_WORKERS)
    throw new TypeError(`must be a whole number from 1 to ${MAX_WORKERS}, or auto`)
  return value
}

function folder(text: string): string {
  if (text === '') throw new TypeError('must name a folder')
  return text
}

function hostName(text: string): string {
  if (isIP(text) === 0 && !/^[A-Za-z0-9.-]{1,253}$/.test(text))
    throw new TypeError('must be a host name or an address')
  return text
}

/** Whether only this machine can reach the host (RFC 8252 section 7.3 and 8.3). */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  return bare === 'localhost' || bare === '::1' || /^127(?:\.\d{1,3}){3}$/.test(bare)
}

// RFC 8414 section 2: a URL that uses the "https" scheme and has no query or fragment components.
function issuerUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new TypeError('must be a URL')
  }
  if (url.search || url.hash || text.includes('?') || text.includes('#')) {
    throw new TypeError('must have no query and no fragment')
  }
  if (url.username || url.password) throw new TypeError('must hold no credentials')
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new TypeError('must be https, except on loopback')
  }
  const plain = url.pathname === '/' ? url.origin : url.origin + url.pathname
  if (text !== plain || text.endsWith('/')) {
    throw new TypeError(
      `must be written plainly, without a slash at its end, as ${plain.replace(/\/+$/, '')}`,
    )
  }
  // Routes are made of it, and : * ( ) mean something there.
  if (!/^[A-Za-z0-9._~/-]*$/.test(url.pathname)) {
    throw new TypeError('must have a path of letters, digits and . _ ~ - only')
  }
  return text
}

function webhookUrl(text: string): string {
  if (text === '') return text
  if (!URL.canParse(text)) throw new TypeError('must be a URL')
  const url = new URL(text)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new TypeError('must be https, except on loopback')
  }
  // It is shown and logged; what is secret belongs in the secret.
  if (url.username || url.password || url.search || url.hash || text.includes('#')) {
    throw new TypeError('must hold no credentials, no query and no fragment')
  }
  return text
}

function webhookSecret(text: string): string {
  if (text !== '') parseWebhookSecrets(text)
  return text
}

function auditLog(text: string): string {
  if (text === '') throw new TypeError('must be stdout, stderr or the path of a file')
  if (text === 'stdout' || text === 'stderr') return text
  if (!existsSync(dirname(resolve(text)))) throw new TypeError('names a file in a folder that is not there')
  const there = statSync(text, { throwIfNoEntry: false })
  // A pipe that nobody reads would hold up the start.
  if (there?.isDirectory() || there?.isFIFO()) throw new TypeError('names a folder or a pipe, and no file')
  return text
}

function storeUrl(text: string): { url: string; location: StoreLocation } {
  return { url: text, location: parseStoreUrl(text) }
}

function audience(text: string): string {
  if (!isAudience(text)) throw new TypeError('must be 1 to 255 printable characters without a space')
  return text
}

function cidrList(text: string): string[] {
  const items = text.split(/[\s,]+/).filter((item) => item !== '')
  for (const item of items) {
    const [address = '', bits, more] = item.split('/')
    const version = isIP(address)
    const most = version === 4 ? 32 : 128
    const good =
      version !== 0 &&
      more === undefined &&
      (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
    if (!good)
      throw new TypeError(
        'must be a list of addresses or networks such as 10.0.0.0/8, with commas between them',
      )
  }
  return items
}

function oneOf<T extends string>(allowed: readonly T[]) {
  return (text: string): T => {
    const found = allowed.find((item) => item === text)
    if (found === undefined) throw new TypeError(`must be one of ${allowed.join(', ')}`)
    return found
  }
}
