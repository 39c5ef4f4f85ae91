import { type Client, GRANT_TYPES, isAudience, isOrigin } from '../accounts/client.ts'
import { parseExtraClaims } from '../accounts/extra-claims.ts'
import { isScopeToken } from '../oauth/scope.ts'
import { ACCESS_TOKEN_TYPES } from '../tokens/access-token.ts'
import { SIGNING_ALGS } from '../tokens/signing-key.ts'
import { type Arguments, type OptionConfig, UsageError } from './command.ts'

type Registration = Partial<
  Pick<
    Client,
    | 'grants'
    | 'scopes'
    | 'audiences'
    | 'origins'
    | 'mayIntrospect'
    | 'accessTokenTyp'
    | 'signingAlg'
    | 'claims'
    | 'onReuse'
    | 'accessTokenTtl'
    | 'refreshTokenIdleTtl'
    | 'refreshTokenMaxTtl'
    | 'refreshTokenGrace'
  >
>

const repeatable = (value: string, help: string): OptionConfig => ({
  type: 'string',
  multiple: true,
  value,
  help: `${help}; may be repeated`,
})
const setting = (value: string, help: string): OptionConfig => ({ type: 'string', value, help })

/** What can be said of a client when it is registered, and again when that changes. */
export const REGISTRATION_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  grant: repeatable('G', GRANT_TYPES.join(', ')),
  scope: repeatable('S', 'a scope it may ask for'),
  audience: repeatable('A', 'what its access tokens are for'),
  origin: repeatable('URL', 'a web origin whose pages may read its answers (CORS)'),
  introspect: setting('yes|no', 'whether it may introspect others’ access tokens for its audiences'),
  typ: setting(
    'TYP',
    `of its access tokens: ${ACCESS_TOKEN_TYPES.join(' or ')} (Spring Boot’s default verifier takes only JWT)`,
  ),
  'signing-alg': setting(
    'ALG',
    `what its tokens are signed with instead of the first of SIGNING_ALG: ${SIGNING_ALGS.join(', ')}; default takes it back`,
  ),
  claims: setting('JSON', 'an object of claims that its access tokens carry besides'),
  'access-token-ttl': setting('SECONDS', 'instead of ACCESS_TOKEN_TTL; default takes it back'),
  'refresh-token-idle-ttl': setting('SECONDS', 'instead of REFRESH_TOKEN_IDLE_TTL; default takes it back'),
  'refresh-token-max-ttl': setting('SECONDS', 'instead of REFRESH_TOKEN_MAX_TTL; default takes it back'),
  'refresh-token-grace': setting(
    'SECONDS',
    'instead of REFRESH_TOKEN_GRACE; 0 is strict, default takes it back',
  ),
  'on-reuse': setting('POLICY', 'enforce (the default), or observe: only count and log'),
}

/** Reads the options of a registration: those that were given. @throws {UsageError} that names the option. */
export function readRegistration({ values }: Arguments): Registration {
  const registration: Record<string, unknown> = {}
  for (const [option, { member, read }] of Object.entries(READERS)) {
    const value = values[option]
    if (value !== undefined) registration[member] = read(value as never, option)
  }
  return registration as Registration
}

/** Reads a JSON object of claims. @throws {UsageError} */
export function readClaims(json: string): Client['claims'] {
  try {
    return parseExtraClaims(json)
  } catch (error) {
    throw new UsageError(`the claims ${(error as Error).message}`)
  }
}

interface Reader {
  readonly member: keyof Registration
  readonly read: (value: never, option: string) => unknown
}

const READERS: Readonly<Record<string, Reader>> = {
  grant: {
    member: 'grants',
    read: each((text) => GRANT_TYPES.some((type) => type === text), GRANT_TYPES.join(', ')),
  },
  scope: {
    member: 'scopes',
    read: each(isScopeToken, 'a scope token: printable, without quotes or backslashes'),
  },
  audience: { member: 'audiences', read: each(isAudience, '1 to 255 printable characters without a space') },
  origin: {
    member: 'origins',
    read: each(isOrigin, 'an origin as a browser sends it, such as https://app.example.com'),
  },
  introspect: {
    member: 'mayIntrospect',
    read: (text: string) => oneOf(['yes', 'no'], text, 'introspect') === 'yes',
  },
  typ: { member: 'accessTokenTyp', read: (text: string) => oneOf(ACCESS_TOKEN_TYPES, text, 'typ') },
  'signing-alg': {
    member: 'signingAlg',
    read: (text: string) =>
      text === 'default' ? undefined : oneOf([...SIGNING_ALGS, 'default'], text, 'signing-alg'),
  },
  claims: { member: 'claims', read: readClaims },
  'access-token-ttl': { member: 'accessTokenTtl', read: seconds(1, 86_400) },
  'refresh-token-idle-ttl': { member: 'refreshTokenIdleTtl', read: seconds(1, 316_224_000) },
  'refresh-token-max-ttl': { member: 'refreshTokenMaxTtl', read: seconds(1, 316_224_000) },
  'refresh-token-grace': { member: 'refreshTokenGrace', read: seconds(0, 3600) },
  'on-reuse': { member: 'onReuse', read: (text: string) => oneOf(['enforce', 'observe'], text, 'on-reuse') },
}

/** A repeatable option; an empty value empties the list, and spaces separate several. */
function each(isGood: (text: string) => boolean, expected: string) {
  return (texts: readonly string[], option: string): string[] => {
    const items = texts.flatMap((text) => text.split(' ')).filter((item) => item !== '')
    if (!items.every(isGood)) throw new UsageError(`--${option} takes ${expected}`)
    return [...new Set(items)]
  }
}

function seconds(least: number, most: number) {
  return (text: string, option: string): number | undefined => {
    if (text === 'default') return undefined
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most))
      throw new UsageError(`--${option} takes ${least} to ${most} seconds, or default`)
    return value
  }
}

function oneOf<T extends string>(allowed: readonly T[], text: string, option: string): T {
  const found = allowed.find((item) => item === text)
  if (found === undefined) throw new UsageError(`--${option} takes ${allowed.join(' or ')}`)
  return found
}
