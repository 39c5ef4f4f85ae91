import { decodeJwt, decodeProtectedHeader } from 'jose'
import { type Config, readConfig } from '../config/config.ts'
import { isLive, judge } from '../grants/judge.ts'
import { type Keys, loadKeys } from '../keys/key-files.ts'
import { UnavailableError } from '../oauth/errors.ts'
import type { Store } from '../stores/contract.ts'
import { verifyAccessToken } from '../tokens/access-token.ts'
import type { Decision } from '../tokens/decision.ts'
import { familyIdOf, readRefreshToken } from '../tokens/refresh-token.ts'
import { type Command, CommandError, JSON_OPTION, onlyOperand } from './command.ts'
import { withStore } from './with-store.ts'

/** What there is to say about a token. */
interface Finding {
  readonly kind: 'access token' | 'refresh token' | 'unknown'
  readonly passes: boolean
  readonly because: string
  readonly says?: object
}

const inspect: Command = {
  name: 'token inspect',
  operands: 'TOKEN',
  summary: 'decode an access or refresh token, and say why it would pass or fail, without using it',
  details: 'With - for TOKEN it is read from standard input, which keeps it out of the shell’s history.',
  options: JSON_OPTION,
  async run(args, surroundings) {
    const operand = onlyOperand(args, 'TOKEN')
    const token = operand === '-' ? (await surroundings.readStdin()).trim() : operand
    const config = readConfig(surroundings.environment)
    const keys = await loadKeys(config.keysDir, config.signingAlgs)
    const finding = await withStore(surroundings, (store) =>
      token.startsWith('prt_')
        ? inspectRefreshToken(store, keys, config, token)
        : inspectAccessToken(store, keys, config, token),
    )
    if (args.values.json) {
      surroundings.print(asJson(finding))
    } else {
      surroundings.print(`${finding.kind}: ${finding.passes ? 'passes' : 'fails'}: ${finding.because}`)
      if (finding.says) surroundings.print(asJson(finding.says, 2))
    }
    return finding.passes ? 0 : 1
  },
}

async function inspectRefreshToken(store: Store, keys: Keys, config: Config, text: string): Promise<Finding> {
  const kind = 'refresh token'
  const token = readRefreshToken(keys.refresh, text)
  if (!token)
    return { kind, passes: false, because: 'it is not one that the secrets in KEYS_DIR made, to the letter' }
  const sid = familyIdOf(token.handle)
  const view = await store.families.look(sid)
  const { family } = view
  const says = { sid, generation: token.generation, session: family }
  if (!family) return { kind, passes: false, because: 'its session has expired, or the store lost it', says }
  const client = await store.clients.find(family.clientId)
  if (!client || client.disabled) {
    return { kind, passes: false, because: `its client ${family.clientId} is disabled or deleted`, says }
  }
  const presented = { client, generation: token.generation, sender: family.lastSender }
  const decision = judge(config, presented, view)
  const [passes, because] = MEANINGS[decision.kind]
  return { kind, passes, because, says }
}

/** What each decision means for whoever holds the token. */
const MEANINGS = {
  gone: [false, 'its session has expired'],
  revoked: [false, 'its session was revoked'],
  other_client: [false, 'it is another client’s'],
  user_ended: [false, 'its user was disabled, deleted, signed out, or given a new password'],
  client_ended: [false, 'every session of its client was ended'],
  scope_exceeded: [false, 'the scope is beyond what was granted'],
  rotate: [true, 'it is the current one; a refresh would rotate it'],
  repeat: [
    true,
    'it is the predecessor of the current one, within the grace: a refresh would get the same successor',
  ],
  reuse: [false, 'it was rotated before; a refresh would be reuse, and end the session'],
  reuse_observed: [true, 'it was rotated before; a refresh would be reuse, which this client only observes'],
  heal: [true, 'it is ahead of the store, which must have lost writes: a refresh would heal it'],
  too_far_ahead: [false, 'it is too far ahead of the store'],
} as const satisfies Record<Decision['kind'], readonly [boolean, string]>

async function inspectAccessToken(store: Store, keys: Keys, config: Config, text: string): Promise<Finding> {
  let says: { header: ReturnType<typeof decodeProtectedHeader>; claims: ReturnType<typeof decodeJwt> }
  try {
    says = { header: decodeProtectedHeader(text), claims: decodeJwt(text) }
  } catch {
    return { kind: 'unknown', passes: false, because: 'it is neither a refresh token nor a JWT' }
  }
  const kind = 'access token'
  try {
    const { sid, client_id } = await verifyAccessToken(keys.signing, config.issuer, text)
    const client = await store.clients.find(client_id)
    if (sid !== undefined && !isLive(config, client, await store.families.look(sid))) {
      return {
        kind,
        passes: true,
        because:
          'a resource server that verifies it by the JWKS alone takes it, though its session has ended',
        says,
      }
    }
  } catch (error) {
    if (error instanceof UnavailableError) throw error
    return { kind, passes: false, because: (error as Error).message, says }
  }
  return {
    kind,
    passes: true,
    because: 'its signature, issuer and times are right, and its session lives',
    says,
  }
}

/** A text that is no token of ours may hold anything. */
function asJson(value: object, indent?: number): string {
  try {
    return JSON.stringify(value, null, indent)
  } catch {
    throw new CommandError('What it says is nested too deeply to be shown')
  }
}

export const TOKEN_COMMANDS: readonly Command[] = [inspect]
