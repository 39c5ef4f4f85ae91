import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { newClient, withRegistration } from '../accounts/client.ts'
import { loadPasswordRules } from '../accounts/password-rules.ts'
import { newEpoch, newSub, type User, withoutAccess } from '../accounts/user.ts'
import { type Config, ConfigError } from '../config/config.ts'
import { readSeedFile, type Seed, type SeedClient, type SeedUser } from '../config/seed-file.ts'
import type { TokenServices } from '../grants/grant.ts'
import { UnavailableError } from '../oauth/errors.ts'
import { createClient, createUser } from '../stores/subjects.ts'

/** How long the start waits for it; then it goes on beside the server, until it is done. */
const PATIENCE_MS = 5000
const RETRY_MS = 1000

type Services = Pick<TokenServices, 'store' | 'passwords' | 'audit'>

const BY_SEED = { actor: 'server', reason: 'seed file' } as const

/** Reads the seed file, where there is one. @throws {ConfigError} */
export async function readSeed(config: Config): Promise<Seed | undefined> {
  if (config.seedFile === '') return undefined
  const seed = readSeedFile(config.seedFile, await loadPasswordRules(config))
  const { seedFile, signingAlgs } = config
  const unsigned = seed.clients.filter(({ signingAlg }) => signingAlg && !signingAlgs.includes(signingAlg))
  if (unsigned.length > 0) {
    throw new ConfigError(
      unsigned.map(
        ({ clientId, signingAlg }) =>
          `SEED_FILE ${seedFile}: the signing_alg ${signingAlg} of ${clientId} is not in SIGNING_ALG, which is ${signingAlgs.join()}`,
      ),
    )
  }
  return seed
}

/**
 * Applies a seed, and outlasts a store that is away. Resolves when it is applied, or has taken too long to be waited for.
 *
 * @returns what stops it, at once, and resolves when nothing is under way any more.
 */
export async function beginSeeding(
  services: Services,
  seed: Seed,
  log: Logger,
): Promise<() => Promise<void>> {
  const stopping = new AbortController()
  const applying = keepApplying(services, seed, log, stopping.signal)
  await Promise.race([applying, sleep(PATIENCE_MS, undefined, { ref: false })])
  return () => {
    stopping.abort()
    return applying
  }
}

async function keepApplying(services: Services, seed: Seed, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await applySeed(services, seed, log, signal)
      if (!signal.aborted) log.info('the seed file is applied')
      return
    } catch (error) {
      if (!(error instanceof UnavailableError)) {
        log.error({ reason: (error as Error).message }, 'the seed file cannot be applied')
        return
      }
      log.warn({ reason: error.message }, 'the seed file waits for the store')
      await sleep(RETRY_MS, undefined, { ref: false, signal }).catch(() => {})
    }
  }
}

/**
 * Makes what the seed declares so. Several servers may do it at once, and each again: what is so already is left alone.
 *
 * @param signal lets what is under way end, and begins nothing more.
 * @throws {UnavailableError} when the store does not answer; doing it again is safe.
 */
async function applySeed(services: Services, seed: Seed, log: Logger, signal: AbortSignal): Promise<void> {
  for (const [i, client] of seed.clients.entries()) {
    if (signal.aborted) return
    const done = await applyClient(services, client)
    if (done) log[done.level]({ seed: `clients[${i}]`, client_id: client.clientId }, done.message)
  }
  for (const [i, user] of seed.users.entries()) {
    if (signal.aborted) return
    const done = await applyUser(services, user)
    if (done) log[done.level]({ seed: `users[${i}]`, sub: done.sub }, done.message)
  }
}

interface Done {
  readonly level: 'info' | 'warn'
  readonly message: string
  readonly sub?: string
}

async function applyClient({ store, audit }: Services, declared: SeedClient): Promise<Done | undefined> {
  const client = await store.clients.find(declared.clientId)
  if (client && client.type !== declared.type) {
    return { level: 'warn', message: `the client is ${client.type}, and stays so: left alone` }
  }
  if (client) {
    const { clientId, ...registration } = declared
    const change = Object.fromEntries(
      Object.entries(registration).filter(
        ([member, value]) => !isDeepStrictEqual(value, client[member as keyof SeedClient]),
      ),
    )
    if (Object.keys(change).length === 0) return undefined
    await store.clients.change(clientId, withRegistration(client, change))
    audit({ event: 'client.changed', ...BY_SEED, client_id: clientId, changed: Object.keys(change) })
    return { level: 'info', message: 'changed a client as the seed file declares it' }
  }
  const answer = await createClient(store, newClient({ grants: ['password', 'refresh_token'], ...declared }))
  if (answer === 'created') {
    audit({ event: 'client.created', ...BY_SEED, client_id: declared.clientId })
    return { level: 'info', message: 'created a client of the seed file' }
  }
  if (answer === 'is_a_sub')
    return { level: 'warn', message: 'a user has the identifier of this client as sub: it is not created' }
  // Another server, at the same moment, from the same file.
  return undefined
}

async function applyUser(
  { store, passwords, audit }: Services,
  declared: SeedUser,
): Promise<Done | undefined> {
  const { username, sub, claims, disabled } = declared
  const user = await store.users.findByUsername(username)
  if (user) {
    if (sub !== undefined && sub !== user.sub)
      return { level: 'warn', message: 'the user of this name has another sub: left alone', sub: user.sub }
    const change = {
      ...(claims !== undefined && !isDeepStrictEqual(claims, user.claims) && { claims }),
      ...(disabled === true && !user.disabled && withoutAccess(user)),
      ...(disabled === false && user.disabled && { disabled }),
    }
    if (Object.keys(change).length === 0) return undefined
    await store.users.change(user.sub, change)
    audit({ event: 'user.changed', ...BY_SEED, sub: user.sub, changed: Object.keys(change) })
    return { level: 'info', message: 'changed a user as the seed file declares it', sub: user.sub }
  }
  const made: User = {
    sub: sub ?? newSub(),
    username,
    passwordHash: declared.passwordHash ?? (await passwords.hash(declared.password ?? '')),
    disabled: disabled ?? false,
    claims: claims ?? {},
    epoch: newEpoch(),
    createdAt: Date.now(),
  }
  const answer = await createUser(store, made)
  if (answer === 'created') {
    audit({ event: 'user.created', ...BY_SEED, sub: made.sub })
    return { level: 'info', message: 'created a user of the seed file', sub: made.sub }
  }
  if (answer === 'sub_taken')
    return {
      level: 'warn',
      message: 'another user, or a client, has the sub of this user: it is not created',
    }
  return undefined
}
