import { readConfig } from '../config/config.ts'
import { generateRefreshSecret, generateSigningKey, loadKeys } from '../keys/key-files.ts'
import { type Command, JSON_OPTION, noOperands, UsageError } from './command.ts'
import { table } from './table.ts'

const list: Command = {
  name: 'keys list',
  operands: '',
  summary: 'list the signing keys and the refresh-token secrets of KEYS_DIR, never their content',
  options: JSON_OPTION,
  async run(args, { environment, print }) {
    noOperands(args)
    const { signing, refresh } = await loadKeys(readConfig(environment).keysDir)
    const keys = [
      ...signing.published.map(({ kid }) => ({
        use: 'signing',
        id: kid,
        state: kid === signing.active.kid ? 'active' : 'published',
      })),
      ...[...refresh.macKeys.keys()].map((id) => ({
        use: 'refresh',
        id,
        state: id === refresh.activeId ? 'active' : 'verifies',
      })),
    ]
    if (args.values.json) {
      for (const key of keys) print(JSON.stringify(key))
    } else {
      const rows = keys.map(({ use, id, state }) => [use, id, state])
      for (const line of table(['USE', 'ID', 'STATE'], rows)) print(line)
    }
    return 0
  },
}

const generate: Command = {
  name: 'keys generate',
  operands: '',
  summary: 'add a key to KEYS_DIR; it is published or verifies, and is not yet used for new tokens',
  details:
    'Servers read KEYS_DIR when they start. To use the key for new tokens, write its ID into the file `active` beside\n' +
    'it, once every server knows it, and restart them.',
  options: {
    use: { type: 'string', value: 'USE', help: 'signing (the default), or refresh' },
    ...JSON_OPTION,
  },
  async run(args, { environment, print }) {
    noOperands(args)
    const { keysDir } = readConfig(environment)
    const use = args.values.use ?? 'signing'
    if (use !== 'signing' && use !== 'refresh') throw new UsageError('--use takes signing or refresh')
    const id = use === 'signing' ? await generateSigningKey(keysDir) : generateRefreshSecret(keysDir)
    print(args.values.json ? JSON.stringify({ use, id }) : `Added the ${use} key ${id} to ${keysDir}`)
    return 0
  },
}

export const KEYS_COMMANDS: readonly Command[] = [list, generate]
