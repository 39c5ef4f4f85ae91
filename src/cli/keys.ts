import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, readConfig } from '../config/config.ts'
import { loadKeys } from '../keys/key-files.ts'
import { algOfRing, type KeyUse, type RingName, ringsIn, signingRingOf, useOfRing } from '../keys/rings.ts'
import {
  generate as addKey,
  promote as promoteKey,
  type Refusal,
  type RingOptions,
  readRing,
  replaceLeaked,
  retire as retireKey,
  rotate as rotateRing,
  type Taken,
} from '../keys/rotation.ts'
import { longestIdle } from '../stores/longest-idle.ts'
import {
  promotableAt,
  type RingKey,
  refreshRingSettings,
  retirableAt,
  signingRingSettings,
  usableFrom,
} from '../tokens/key-ring.ts'
import { SIGNING_ALGS, type SigningAlg } from '../tokens/signing-key.ts'
import {
  type Arguments,
  type Command,
  CommandError,
  JSON_OPTION,
  noOperands,
  onlyOperand,
  type Surroundings,
  UsageError,
} from './command.ts'
import { table, time } from './table.ts'
import { withStore } from './with-store.ts'

const NAMES: Readonly<Record<KeyUse, string>> = { signing: 'signing key', refresh: 'refresh-token secret' }

/** The longest that `--wait` waits: a key that has just been added is known to all before that. */
const MAX_WAIT_MS = 3_600_000

const USE_OPTION = {
  use: { type: 'string', value: 'USE', help: 'signing (the default), or refresh' },
} as const
const ALG_OPTION = {
  alg: {
    type: 'string',
    value: 'ALG',
    help: `of a signing key: ${SIGNING_ALGS.join(', ')}; the first of SIGNING_ALG unless given`,
  },
} as const
const FORCE_OPTION = { force: { type: 'boolean', help: 'although it is too soon' } } as const

const list: Command = {
  name: 'keys list',
  operands: '',
  summary: 'list the signing keys and the refresh-token secrets of KEYS_DIR, never their content',
  options: {
    all: { type: 'boolean', help: 'retired ones too' },
    ...JSON_OPTION,
  },
  async run(args, { environment, print }) {
    noOperands(args)
    const config = readConfig(environment)
    await loadKeys(config.keysDir, config.signingAlgs)
    const keys: Shown[] = []
    for (const ring of await ringsIn(config.keysDir)) {
      const options = ringOptions(config, ring, config.refreshTokenIdleTtl)
      const written = await readRing(options)
      for (const key of written) {
        if (key.state === 'retired' && !args.values.all) continue
        keys.push(shown(key, options, usableFrom(written)))
      }
    }
    if (args.values.json) {
      for (const key of keys) print(JSON.stringify(key))
      return 0
    }
    const rows = keys.map((key) => [key.use, key.id, key.alg, key.state, key.since, nextOfKey(key)])
    for (const line of table(['USE', 'ID', 'ALG', 'STATE', 'SINCE', 'NEXT'], rows)) print(line)
    return 0
  },
}

interface Shown {
  readonly use: KeyUse
  readonly id: string
  readonly alg: string
  readonly state: RingKey['state']
  readonly since: string
  /** What may be done with it, or what it does by itself, and from when on. */
  readonly next_step?: 'sign' | 'promote' | 'retire'
  readonly next_step_at?: string
}

function shown(key: RingKey, { ring, settings }: RingOptions, from: number): Shown {
  const { id, state } = key
  const said = { use: useOfRing(ring), id, alg: algOfRing(ring), state, since: time(key.since) }
  if (state === 'active' && from > Date.now()) return { ...said, next_step: 'sign', next_step_at: time(from) }
  if (state === 'next')
    return { ...said, next_step: 'promote', next_step_at: time(promotableAt(key, settings)) }
  if (state === 'retiring') return { ...said, next_step: 'retire', next_step_at: time(retirableAt(key)) }
  return said
}

function nextOfKey({ next_step, next_step_at = '' }: Shown): string {
  if (next_step === undefined) return '-'
  return Date.parse(next_step_at) > Date.now() ? `${next_step} from ${next_step_at}` : `${next_step} now`
}

const generate: Command = {
  name: 'keys generate',
  operands: '',
  summary: 'add a key to KEYS_DIR; it is published or verifies, and is not yet used for new tokens',
  details:
    'Running servers take it up by themselves. It is used from when it is promoted: see pawl keys promote.\n' +
    'The first key of an algorithm, beside those of another, signs by itself twelve minutes later, when every verifier\n' +
    'knows it, on servers whose SIGNING_ALG has the algorithm.',
  options: { ...USE_OPTION, ...ALG_OPTION, ...JSON_OPTION },
  async run(args, { environment, print }) {
    noOperands(args)
    const config = readConfig(environment)
    const ring = ringOf(args, config)
    const use = useOfRing(ring)
    const id = await addKey(ringOptions(config, ring, 0))
    print(args.values.json ? JSON.stringify({ use, id }) : `Added the ${use} key ${id} to ${config.keysDir}`)
    return 0
  },
}

const promote: Command = {
  name: 'keys promote',
  operands: '[ID]',
  summary: 'use a key for new tokens: the next one, or the one named; the active one then begins to retire',
  details:
    'Refused until every server and every verifier knows the key: for a signing key 12 minutes, since verifiers may\n' +
    'go by a JWKS for 10; for a refresh-token secret 2. A key that is retiring can be taken back. With --force\n' +
    'verifiers that do not know a signing key yet refuse its tokens.\n' +
    'An ID that begins with a hyphen goes after --.',
  options: { ...USE_OPTION, ...ALG_OPTION, ...FORCE_OPTION, ...JSON_OPTION },
  async run(args, surroundings) {
    const { config, ring, id } = await targetOf(args, surroundings)
    const options = await withLongestIdle(config, ring, surroundings)
    const result = await promoteKey(options, id, args.values.force === true)
    if ('refused' in result) throw refusal(result, ring, id, 'promoted')
    report([result], ring, args, surroundings)
    return 0
  },
}

const retire: Command = {
  name: 'keys retire',
  operands: 'ID',
  summary: 'take a key out of use for good: no token that was made with it passes from then on',
  details:
    'Refused for the active key, and until every token that was made with it has ended. Its file is moved into the\n' +
    'folder `retired` beside it, where nothing reads it; delete it when you like.\n' +
    'An ID that begins with a hyphen goes after --.',
  options: { ...FORCE_OPTION, ...JSON_OPTION },
  async run(args, surroundings) {
    onlyOperand(args, 'ID')
    const { config, ring, id } = await targetOf(args, surroundings)
    const result = await retireKey(ringOptions(config, ring, 0), id!, args.values.force === true)
    if ('refused' in result) throw refusal(result, ring, id, 'retired')
    report([result], ring, args, surroundings)
    return 0
  },
}

const rotate: Command = {
  name: 'keys rotate',
  operands: '[ID]',
  summary:
    'take the steps that are due: promote the next key, add one, retire what is over; or drop a leaked key',
  details:
    'Every ring, unless --use or --alg names one. Breaks nothing and may be run at any time, from cron as well: a step that is\n' +
    'not due is not taken, and the command says when it will be. Each run promotes where it may, so --every says how\n' +
    'long a key is to be active at least.\n' +
    '--emergency drops keys that have leaked, at once: the one named, and the next key takes its place; or, with --use,\n' +
    'every key of that use, since what could read one could read the others, and a new one takes their place. Access\n' +
    'tokens of a dropped signing key are refused as verifiers fetch the JWKS again, within 10 minutes; their clients\n' +
    'refresh. Every session whose refresh token is under a dropped secret ends.',
  options: {
    use: { type: 'string', value: 'USE', help: 'signing or refresh; both unless given' },
    alg: { type: 'string', value: 'ALG', help: 'only the signing keys of this algorithm' },
    every: {
      type: 'string',
      value: 'SECONDS',
      help: 'promote only what follows a key that was active for so long',
    },
    wait: { type: 'boolean', help: 'wait until the next promotion is due, at most an hour, and make it' },
    emergency: { type: 'boolean', help: 'drop the key ID, or every key of --use, at once' },
    yes: { type: 'boolean', help: 'do not ask before an emergency' },
    ...JSON_OPTION,
  },
  async run(args, surroundings) {
    const { every, wait, emergency, yes } = args.values
    if (emergency) {
      if (every !== undefined || wait) throw new UsageError('--emergency goes without --every and --wait')
      return await dropLeaked(args, surroundings)
    }
    noOperands(args)
    if (yes) throw new UsageError('--yes is for --emergency')
    if (every !== undefined && !/^\d{1,9}$/.test(String(every))) throw new UsageError('--every takes seconds')
    const config = readConfig(surroundings.environment)
    for (const ring of await ringsOf(args, config)) {
      const use = useOfRing(ring)
      const options = await withLongestIdle(config, ring, surroundings, Number(every ?? 0))
      let { taken, next } = await rotateRing(options)
      report(taken, ring, args, surroundings)
      const mayWait = next.for === 'promote' && next.until - Date.now() <= MAX_WAIT_MS
      if (wait && mayWait && taken.every(({ kind }) => kind !== 'promote')) {
        surroundings.tell(`Waiting until ${time(next.until)} to promote the ${NAMES[use]} ${next.id}`)
        await sleep(Math.max(0, next.until - Date.now()) + 10)
        ;({ taken, next } = await rotateRing(options))
        report(taken, ring, args, surroundings)
      }
      const at = time(next.until)
      surroundings.print(
        args.values.json
          ? JSON.stringify({ use, id: next.id, next_step: next.for, next_step_at: at })
          : `Nothing more to do for ${ring} before ${at}: ${next.for} ${next.id}. Run this again then.`,
      )
    }
    return 0
  },
}

async function dropLeaked(args: Arguments, surroundings: Surroundings): Promise<number> {
  const { use: givenUse, alg } = args.values
  if (args.positionals.length === 0 && givenUse === undefined && alg === undefined) {
    throw new UsageError(
      '--emergency needs the ID of the key that leaked, or --use or --alg for every key of these',
    )
  }
  const { config, ring: target, id } = await targetOf(args, surroundings)
  const use = useOfRing(target)
  const every = alg === undefined ? `every ${NAMES[use]}` : `every ${NAMES[use]} for ${alg}`
  const what = id === undefined ? every : `the ${NAMES[use]} ${id}`
  const breaks =
    use === 'signing'
      ? 'Access tokens signed with it are refused within 10 minutes, as verifiers fetch the JWKS again; clients refresh.'
      : 'Every session whose refresh token is under it ends, and its user has to sign in again.'
  if (!args.values.yes) {
    const question = `This drops ${what}, at once and for good. ${breaks}\nType yes to go on: `
    const answer = await surroundings.ask(question)
    if (answer === undefined) throw new UsageError('there is no terminal to ask at: give --yes')
    if (answer.trim() !== 'yes') throw new CommandError('Nothing was changed')
  }
  for (const ring of id === undefined ? await ringsOf(args, config) : [target]) {
    const result = await replaceLeaked(ringOptions(config, ring, config.refreshTokenIdleTtl), id)
    if ('refused' in result) throw refusal(result, ring, id, 'dropped')
    report(result.taken, ring, args, surroundings)
  }
  if (!args.values.json) surroundings.print(breaks)
  return 0
}

function useOf({ values: { use } }: Arguments): KeyUse | undefined {
  if (use === undefined || use === 'signing' || use === 'refresh') return use
  throw new UsageError('--use takes signing or refresh')
}

function givenAlg({ values: { alg } }: Arguments): SigningAlg | undefined {
  const found = SIGNING_ALGS.find((known) => known === alg)
  if (alg !== undefined && !found) throw new UsageError(`--alg takes ${SIGNING_ALGS.join(', ')}`)
  return found
}

/** The ring that a command for one is for. */
function ringOf(args: Arguments, { signingAlgs }: Config): RingName {
  const alg = givenAlg(args)
  if (useOf(args) === 'refresh') {
    if (alg) throw new UsageError('--alg is for signing keys')
    return 'refresh'
  }
  return signingRingOf(alg ?? signingAlgs[0]!)
}

/** The rings that a command for several is for: those of what --use and --alg name. */
async function ringsOf(args: Arguments, config: Config): Promise<RingName[]> {
  const use = useOf(args)
  if (use === 'refresh' || givenAlg(args)) return [ringOf(args, config)]
  const there = await ringsIn(config.keysDir)
  const signing = there.filter((ring) => useOfRing(ring) === 'signing')
  // One that is missing says so.
  const rings = signing.length > 0 ? signing : [ringOf(args, config)]
  return use === 'signing' ? rings : [...rings, 'refresh']
}

/** Which ring a command is for, and which key of it. */
async function targetOf(
  args: Arguments,
  { environment }: Surroundings,
): Promise<{ config: Config; ring: RingName; id: string | undefined }> {
  const id = args.positionals.length === 0 ? undefined : onlyOperand(args, 'ID')
  const config = readConfig(environment)
  if (id === undefined) return { config, ring: ringOf(args, config), id }
  for (const ring of await ringsOf(args, config)) {
    const keys = await readRing(ringOptions(config, ring, 0))
    if (keys.some((key) => key.id === id)) return { config, ring, id }
  }
  throw new CommandError(`There is no key ${id} in ${config.keysDir}: see pawl keys list --all`)
}

function ringOptions({ keysDir }: Config, ring: RingName, idle: number, interval = 0): RingOptions {
  const settings = ring === 'refresh' ? refreshRingSettings(interval, idle) : signingRingSettings(interval)
  return { folder: keysDir, ring, settings }
}

/** For a step after which a secret begins to retire: how long that takes is for the clients in the store to say. */
async function withLongestIdle(
  config: Config,
  ring: RingName,
  surroundings: Surroundings,
  interval = 0,
): Promise<RingOptions> {
  const idle =
    ring !== 'refresh'
      ? 0
      : await withStore(surroundings, ({ clients }) =>
          longestIdle(clients, config.refreshTokenIdleTtl, ({ cause }) =>
            surroundings.tell(
              `${(cause as Error).message}. How long its sessions live is not known: the secret that retires now is kept ` +
                'for ten years, unless you retire it with --force',
            ),
          ),
        )
  return ringOptions(config, ring, idle, interval)
}

const DONE: Readonly<Record<Taken['kind'], string>> = {
  generate: 'Added',
  promote: 'Promoted',
  retire: 'Retired',
}

function report(
  taken: readonly Taken[],
  ring: RingName,
  { values }: Arguments,
  { print }: Surroundings,
): void {
  const use = useOfRing(ring)
  for (const { kind, id } of taken) {
    print(values.json ? JSON.stringify({ use, id, done: kind }) : `${DONE[kind]} the ${NAMES[use]} ${id}`)
  }
}

function refusal(refused: Refusal, ring: RingName, id: string | undefined, done: string): CommandError {
  const use = useOfRing(ring)
  const option = ring === 'refresh' ? '--use refresh' : `--alg ${algOfRing(ring)}`
  const what = id === undefined ? `The next ${NAMES[use]}` : `The ${NAMES[use]} ${id}`
  switch (refused.refused) {
    case 'unknown':
      return new CommandError(
        id === undefined
          ? `There is no next ${NAMES[use]}: add one with pawl keys generate ${option}`
          : `There is no ${NAMES[use]} ${id} any more: see pawl keys list --all`,
      )
    case 'active':
      return new CommandError(
        done === 'promoted'
          ? `${what} is the active one already`
          : `${what} is the active one: promote another first, or, if it has leaked: pawl keys rotate --emergency ${id}`,
      )
    case 'retired':
      return new CommandError(`${what} is retired for good: add a new one with pawl keys generate ${option}`)
    case 'too_soon': {
      const minutes = Math.ceil((refused.until - Date.now()) / 60_000)
      const why =
        done === 'retired'
          ? 'tokens that were made with it may live until then'
          : 'not everybody knows it before'
      return new CommandError(
        `${what} can be ${done} from ${time(refused.until)} on, in ${minutes} min: ${why}. --force does it now`,
      )
    }
  }
}

export const KEYS_COMMANDS: readonly Command[] = [list, generate, promote, retire, rotate]
