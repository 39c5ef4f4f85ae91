import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { type Config, ConfigError, isLoopback, readConfig } from '../config/config.ts'
import { KeyFileError } from '../keys/files.ts'
import { loadKeys } from '../keys/key-files.ts'
import { examineStore } from '../stores/examine-store.ts'
import { type Finding, findingsOf } from '../stores/finding.ts'
import { type Command, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { examineServer } from './examine-server.ts'
import { time } from './table.ts'

const FAULTY = 1

export const DOCTOR: Command = {
  name: 'doctor',
  operands: '',
  summary: 'check configuration, key files and store; exit 1 with one line per fault',
  details:
    'Each line begins with ok, note or fault, and names the mend where there is one. It changes nothing. Run it with\n' +
    'the variables of the server, where the server runs, as the user that it runs as.',
  options: {
    'allow-volatile': { type: 'boolean', help: 'a Redis that keeps nothing on disk is meant to be so' },
    url: {
      type: 'string',
      value: 'URL',
      help: 'also look whether the issuer’s metadata and keys can be had there, such as at ISSUER',
    },
    ...JSON_OPTION,
  },
  async run(args, { environment, print }) {
    noOperands(args)
    const { url, json, 'allow-volatile': allowVolatile } = args.values
    if (url !== undefined && !URL.canParse(String(url))) throw new UsageError('--url takes a URL')
    let level = 0
    const tell = (findings: readonly Finding[]) => {
      for (const finding of findings) {
        if (finding.level === 'fault') level = FAULTY
        print(json ? JSON.stringify(finding) : lineOf(finding))
      }
    }
    try {
      const config = readConfig(environment)
      tell([
        findingsOf('configuration').ok('every variable can be read'),
        ...examineConfig(config),
        ...(await examineKeys(config)),
      ])
      const { waitReplicas } = config
      tell(await examineStore(config.store, { waitReplicas, allowVolatile: allowVolatile === true }))
      if (url !== undefined) tell(await examineServer(config, String(url)))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      tell(
        error.faults.map((fault) => {
          const [name = '', ...words] = fault.split(' ')
          return findingsOf(name).fault(words.join(' '), 'Correct it; nothing else is checked before that.')
        }),
      )
    }
    return level
  },
}

function lineOf({ level, subject, says, mend }: Finding): string {
  return `${level.padEnd(5)}  ${subject}: ${says}${mend === undefined ? '' : `. ${mend}`}`
}

/** What can be read and still is not meant. */
function examineConfig(config: Config): Finding[] {
  const found: Finding[] = []
  const issuer = findingsOf('ISSUER')
  if (config.issuer.startsWith('http:')) {
    found.push(issuer.note(`${config.issuer} is for this machine alone`, 'Elsewhere it must be https.'))
  } else if (config.trustProxy.length === 0) {
    found.push(
      findingsOf('TRUST_PROXY').note(
        'ISSUER is https, so a proxy stands in front, and none is named: every request counts as from its address',
        'Name the proxy’s address or network.',
      ),
    )
  } else {
    found.push(issuer.ok(`${config.issuer}, by way of ${config.trustProxy.join(', ')}`))
  }
  if (!isLoopback(config.managementHost)) {
    found.push(
      findingsOf('MANAGEMENT_HOST').note(
        `${config.managementHost} can be reached from other machines`,
        'Let nobody but probes and Prometheus through to it.',
      ),
    )
  }
  if (config.workers > availableParallelism()) {
    found.push(
      findingsOf('WORKERS').note(
        `${config.workers} processes for ${availableParallelism()} cores only take each other’s time`,
        'WORKERS=auto is one for each.',
      ),
    )
  }
  if (config.refreshTokenGrace === 0) {
    found.push(
      findingsOf('REFRESH_TOKEN_GRACE').note(
        '0 is strict: a lost answer ends the session',
        'See docs/rotation.md.',
      ),
    )
  }
  return found
}

async function examineKeys({ keysDir: folder, signingAlgs }: Config): Promise<Finding[]> {
  const { ok, note, fault } = findingsOf('KEYS_DIR')
  if (!existsSync(folder)) return [note(`${folder} is not there yet; the first start makes the keys`)]
  try {
    const { signing, refresh, signers } = await loadKeys(folder, signingAlgs)
    return [
      ok(`${signing.published.length} signing keys, ${signing.active.kid} signs with ${signing.active.alg}`),
      ...signers
        .filter(({ from }) => from > Date.now())
        .map(({ key, from }) =>
          note(
            `the first key for ${key.alg}, ${key.kid}, is published, and signs from ${time(from)} on, when every verifier knows it`,
            `Until then ${signing.active.alg} does.`,
          ),
        ),
      ...signingAlgs
        .filter((alg) => signers.every(({ key }) => key.alg !== alg))
        .map((alg) =>
          note(
            `there is no key for ${alg} yet`,
            'The next start makes it, and it signs twelve minutes later; or: pawl keys generate ' +
              `--alg ${alg}.`,
          ),
        ),
      ok(`${refresh.macKeys.size} refresh-token secrets, new tokens are made under ${refresh.activeId}`),
    ]
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error
    const [, what = error.message, mend = 'See docs/deployment.md.'] =
      /^(.*?)\. (.*)$/s.exec(error.message) ?? []
    return [fault(what, mend)]
  }
}
