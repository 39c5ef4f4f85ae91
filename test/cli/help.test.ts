import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { runCli } from '../support/processes.ts'
import { runHere } from '../support/run-here.ts'

const VERBS = [
  'dev',
  'serve',
  'user add',
  'user import',
  'user list',
  'user show',
  'user disable',
  'user enable',
  'user set-password',
  'user set-claims',
  'user delete',
  'user unlock',
  'client add',
  'client update',
  'client list',
  'client disable',
  'client enable',
  'client rotate-secret',
  'client delete',
  'keys list',
  'keys generate',
  'keys promote',
  'keys retire',
  'keys rotate',
  'session list',
  'session revoke',
  'store copy',
  'audit list',
  'token inspect',
  'doctor',
  'healthcheck',
]
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))
const words = (line: string) => line.split(' ').filter((word) => word !== '')
/** A command that means to open a store would fail here: nothing of this may get so far. */
const env = { STORE_URL: 'redis://127.0.0.1:1' }
const run = (line: string) => runHere(words(line), env)

t.test('as a process', async (t) => {
  t.match(await runCli(['--help'], { env }), { code: 0, stdout: /^ {2}pawl serve /m, stderr: '' })
  t.match(await runCli(['user', 'add', '--help'], { env }), {
    code: 0,
    stdout: /^pawl user add NAME\n/,
    stderr: '',
  })
  t.match(await runCli(['user', 'add'], { env }), { code: 64, stdout: '', stderr: /NAME is missing/ })
  t.match(await runCli([], { env }), { code: 64, stdout: /pawl serve/ })
})

t.test('a reader that has had enough', async (t) => {
  const { stdout, stderr } = await promisify(execFile)('sh', [
    '-c',
    '"$0" "$1" --help | head -n 1',
    process.execPath,
    MAIN,
  ])
  t.match(stdout, /^pawl: /)
  t.equal(stderr, '', 'is no failure')
})

t.test('help', async (t) => {
  for (const line of ['--help', '-h', 'help']) {
    const { code, stdout, stderr } = await run(line)
    t.strictSame([code, stderr], [0, ''], line)
    for (const verb of VERBS)
      t.match(stdout, new RegExp(`^  pawl ${verb}\\b.*\\w`, 'm'), `${line} lists ${verb}`)
    t.equal(stdout.match(/^ {2}pawl /gm)?.length, VERBS.length, 'and nothing that this test does not know')
  }
  for (const noun of ['user', 'client', 'keys', 'session', 'store', 'audit', 'token']) {
    const { code, stdout } = await run(`${noun} --help`)
    t.equal(code, 0, noun)
    t.equal(stdout.match(/^ {2}pawl /gm)?.length, VERBS.filter((verb) => verb.startsWith(noun)).length)
  }
})

t.test('every verb has help of its own', async (t) => {
  await Promise.all(
    VERBS.map(async (verb, i) => {
      const { code, stdout, stderr } = await run(`${verb} ${i % 2 ? '-h' : '--help'}`)
      t.strictSame([code, stderr], [0, ''], verb)
      t.match(stdout, new RegExp(`^pawl ${verb}`), `${verb}: how it is called`)
      t.match(stdout, /^ {2}--help +\S/m, `${verb}: its options`)
    }),
  )
})

t.test('what is no command: 64, and the way to help', async (t) => {
  const rows: [line: string, says: RegExp][] = [
    ['frobnicate', /no command "frobnicate"[\s\S]*pawl --help/],
    ['user', /pawl user add NAME/],
    ['user frobnicate', /pawl user add NAME/],
    ['user add', /pawl user add: NAME is missing[\s\S]*pawl user add --help/],
    ['user add a b', /only one NAME/],
    ['user list x', /too many arguments/],
    ['user list --frobnicate', /Unknown option '--frobnicate'/],
    ['user list --json=yes', /--json/],
    ['client add x', /one of --public and --confidential/],
    ['client list x', /too many arguments/],
    ['session list', /give --user NAME or --client ID/],
    ['session list --user', /--user/],
    ['session revoke', /one of ID, --user NAME, --client ID and --all/],
    ['keys generate --use lock', /--use takes signing or refresh/],
    ['keys list x', /too many arguments/],
    ['audit list x', /too many arguments/],
    ['keys promote --use lock', /--use takes signing or refresh/],
    ['keys promote a b', /only one ID/],
    ['keys retire', /ID is missing/],
    ['keys rotate x', /too many arguments/],
    ['keys rotate --every soon', /--every takes seconds/],
    ['keys rotate --yes', /--yes is for --emergency/],
    ['keys rotate --emergency', /--emergency needs the ID of the key that leaked, or --use/],
    ['keys rotate --emergency --wait', /--emergency goes without --every and --wait/],
    ['token inspect', /TOKEN is missing/],
    ['dev --port x', /--port takes a port/],
    ['dev x', /too many arguments/],
    ['serve x', /too many arguments/],
    ['healthcheck x', /too many arguments/],
    ['doctor x', /too many arguments/],
    ['doctor --url x', /--url takes a URL/],
  ]
  await Promise.all(
    rows.map(async ([line, says]) => {
      const { code, stdout, stderr } = await run(line)
      t.match({ code, stdout, stderr }, { code: 64, stdout: '', stderr: says }, line)
      t.notMatch(stderr, /\n +at /, `${line}: no stack`)
    }),
  )
  const nothing = await run('')
  t.match(nothing, { code: 64, stdout: /pawl serve/ }, 'no command at all')
})
