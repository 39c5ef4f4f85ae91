import { closeSync, createReadStream, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { extname } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ImportRow, readImportRow, userOf } from '../accounts/import-row.ts'
import { binary, type FirebaseParameters } from '../accounts/imported-hash.ts'
import { type User, usernameFault } from '../accounts/user.ts'
import { UnavailableError } from '../oauth/errors.ts'
import type { Store } from '../stores/contract.ts'
import {
  type Arguments,
  type Command,
  CommandError,
  JSON_OPTION,
  onlyOperand,
  type Surroundings,
  UsageError,
} from './command.ts'
import { ROW_FORMATS, type Row, type RowFormat, rowsOf } from './import-rows.ts'
import { withStore } from './with-store.ts'

/** Rows that go to the store together. */
const BATCH = 1000
const PROGRESS_MS = 1000
/** How long an import waits for a store that is away. */
const PATIENCE_MS = 30_000
const RETRY_MS = 250
/** Refusals told on standard error; a report has them all. */
const MAX_TOLD = 100

export const USER_IMPORT: Command = {
  name: 'user import',
  operands: 'FILE',
  summary: 'create users from a file, with the password hashes of another system',
  details:
    'FILE is NDJSON or CSV; - is standard input. A row has username, password_hash and, if you like, sub, claims (an\n' +
    'object) and disabled. Hashes: argon2, bcrypt, scrypt, PBKDF2, as PHP, Python, Django, Keycloak, Firebase and others\n' +
    'write them; docs/users.md has an example of each. They are verified as they are, and replaced by argon2id when\n' +
    'their user next signs in.\n\n' +
    'It may be run again, beside running servers: rows that are there already are passed over. A row whose name or sub\n' +
    'another user has, or that cannot be read, is refused, and the others go on; the exit code is then 1.',
  options: {
    format: { type: 'string', value: 'FORMAT', help: 'ndjson or csv; else by the name of FILE' },
    'dry-run': {
      type: 'boolean',
      help: 'check every row, against the store as well, and create nothing',
    },
    report: {
      type: 'string',
      value: 'FILE',
      help: 'write every refused row there (line, username, reason), as NDJSON',
    },
    'allow-refused': { type: 'boolean', help: 'exit 0 even if rows were refused' },
    'firebase-signer-key-file': {
      type: 'string',
      value: 'FILE',
      help: 'holds base64_signer_key of a Firebase project',
    },
    'firebase-salt-separator': {
      type: 'string',
      value: 'B64',
      help: 'base64_salt_separator of it; else Bw==',
    },
    'firebase-rounds': { type: 'string', value: 'N', help: 'rounds of it; else 8' },
    'firebase-mem-cost': { type: 'string', value: 'N', help: 'mem_cost of it; else 14' },
    json: { ...JSON_OPTION.json, help: 'print the summary as JSON' },
  },
  async run(args, surroundings) {
    const name = onlyOperand(args, 'FILE')
    const format = formatOf(name, args)
    const firebase = readFirebase(args)
    const file = name === '-' ? surroundings.openStdin() : openFile(name)
    requireAnother(args.values.report, name)
    const refusals = openRefusals(args.values.report, surroundings.tell)
    try {
      const count = await withStore(surroundings, async (store, audit) => {
        const done = await importRows(store, rowsOf(file, format), {
          firebase,
          isDryRun: args.values['dry-run'] === true,
          refuse: refusals.add,
          tell: surroundings.tell,
        })
        // One for them all: the trail is short, and an import is long.
        if (done.created > 0 && !done.dry_run)
          audit({ event: 'user.imported', reason: `${done.created} users` })
        return done
      })
      refusals.close()
      surroundings.print(args.values.json ? JSON.stringify(count) : sentence(count))
      return count.refused > 0 && !args.values['allow-refused'] ? 1 : 0
    } finally {
      file.destroy()
      refusals.close()
    }
  },
}

function openFile(name: string): Readable {
  try {
    return createReadStream(name, { fd: openSync(name, 'r') })
  } catch (error) {
    throw new CommandError(
      `${name} cannot be read (${(error as NodeJS.ErrnoException).code}). Name a file that this user may read.`,
    )
  }
}

/** A report takes the place of what is in its file. */
function requireAnother(report: unknown, file: string): void {
  if (typeof report !== 'string' || file === '-') return
  const [one, other] = [statSync(report, { throwIfNoEntry: false }), statSync(file)]
  if (one && one.dev === other.dev && one.ino === other.ino)
    throw new UsageError('--report names the file that is imported: name another')
}

function formatOf(file: string, { values }: Arguments): RowFormat {
  const given = values.format ?? (file === '-' ? 'ndjson' : FORMATS[extname(file).toLowerCase()])
  const format = ROW_FORMATS.find((one) => one === given)
  if (format) return format
  throw new UsageError(`--format takes ${ROW_FORMATS.join(' or ')}; the name of FILE does not say which`)
}

const FORMATS: Readonly<Record<string, RowFormat>> = {
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.csv': 'csv',
}

function readFirebase({ values }: Arguments): FirebaseParameters | undefined {
  const { 'firebase-signer-key-file': keyFile, 'firebase-salt-separator': separator = 'Bw==' } = values
  if (keyFile === undefined) {
    if (Object.keys(values).some((name) => name.startsWith('firebase-'))) {
      throw new UsageError('--firebase-signer-key-file is missing')
    }
    return undefined
  }
  const whole = (option: string, fallback: string, most: number) => {
    const text = String(values[option] ?? fallback)
    if (!/^[1-9]\d{0,5}$/.test(text) || Number(text) > most)
      throw new UsageError(`--${option} takes a whole number up to ${most}`)
    return Number(text)
  }
  const base64 = (text: string, option: string) => {
    try {
      return binary(text, option)
    } catch {
      throw new UsageError(`--${option} is not base64`)
    }
  }
  return {
    signerKey: base64(readFileSync(String(keyFile), 'utf8').trim(), 'firebase-signer-key-file'),
    saltSeparator: base64(String(separator), 'firebase-salt-separator'),
    rounds: whole('firebase-rounds', '8', 120_000),
    memCost: whole('firebase-mem-cost', '14', 20),
  }
}

/** A row that was not taken. */
interface Refusal {
  readonly line: number
  readonly username?: string
  readonly reason: string
}

function openRefusals(report: unknown, tell: Surroundings['tell']) {
  const file = report === undefined ? undefined : openSync(String(report), 'w', 0o600)
  let count = 0
  let isOpen = true
  return {
    add(refusal: Refusal) {
      count += 1
      if (file !== undefined) writeSync(file, `${JSON.stringify(refusal)}\n`)
      else if (count <= MAX_TOLD) tell(`line ${refusal.line}: ${nameIn(refusal)}${refusal.reason}`)
      else if (count === MAX_TOLD + 1) tell('… and more: --report FILE writes them all')
    },
    close() {
      if (isOpen && file !== undefined) closeSync(file)
      isOpen = false
    },
  }
}

const nameIn = ({ username }: Refusal) => (username === undefined ? '' : `${JSON.stringify(username)}: `)

/** What became of the rows. */
interface Count {
  rows: number
  created: number
  already_there: number
  refused: number
  dry_run: boolean
  seconds: number
}

const number = new Intl.NumberFormat('en')

function sentence({ rows, created, already_there, refused, dry_run, seconds }: Count): string {
  const done = dry_run ? 'would be created' : 'created'
  const rate = number.format(Math.round(rows / Math.max(seconds, 0.001)))
  return (
    `${number.format(rows)} rows: ${number.format(created)} ${done}, ${number.format(already_there)} there already, ` +
    `${number.format(refused)} refused; ${rate} rows/s`
  )
}

interface ImportSettings {
  readonly firebase: FirebaseParameters | undefined
  readonly isDryRun: boolean
  readonly refuse: (refusal: Refusal) => void
  readonly tell: Surroundings['tell']
}

interface Candidate {
  readonly line: number
  readonly row: ImportRow
  readonly user: User
}

/** Takes the rows into the store, a batch at a time; the next is read while one is written. */
async function importRows(
  store: Store,
  rows: AsyncIterable<Row>,
  { firebase, isDryRun, refuse, tell }: ImportSettings,
): Promise<Count> {
  const begin = performance.now()
  const startedAt = Date.now()
  const count: Count = { rows: 0, created: 0, already_there: 0, refused: 0, dry_run: isDryRun, seconds: 0 }
  const reject = (refusal: Refusal) => {
    count.refused += 1
    refuse(refusal)
  }
  const clients = await clientIdsOf(store)
  const write = isDryRun ? checkMany : createMany

  async function take(batch: readonly Candidate[]): Promise<void> {
    const answers = await patiently(count, () => write(store, batch))
    for (const [i, { line, row }] of batch.entries()) {
      const answer = answers[i]!
      if (answer === 'created' || answer === 'already_there') count[answer] += 1
      else reject({ line, username: row.username, reason: answer.reason })
    }
  }

  let underWay = Promise.resolve()
  let batch: Candidate[] = []
  async function flush(): Promise<void> {
    await underWay
    underWay = take(batch)
    // Awaited before the next one is written, and until then nobody's to catch.
    underWay.catch(() => undefined)
    batch = []
  }

  const progress = setInterval(() => {
    const rate = Math.round((1000 * count.rows) / (performance.now() - begin))
    tell(
      `${number.format(count.rows)} rows, ${number.format(rate)} rows/s, ${number.format(count.refused)} refused`,
    )
  }, PROGRESS_MS)
  try {
    for await (const { line, value, fault } of rows) {
      count.rows += 1
      try {
        if (fault !== undefined) throw new TypeError(`the row ${fault}`)
        const row = readImportRow(value, firebase)
        if (row.sub !== undefined && clients.has(row.sub)) throw new TypeError(IS_A_CLIENT)
        batch.push({ line, row, user: userOf(row) })
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        reject({ line, ...nameOf(value), reason: error.message })
      }
      if (batch.length === BATCH) await flush()
    }
  } finally {
    // Where the file breaks off, what came before it is taken all the same.
    try {
      await flush()
      await underWay
    } finally {
      clearInterval(progress)
    }
  }
  if (!isDryRun) await takeBackClients(store, clients, startedAt, count, reject)
  count.seconds = Math.round(performance.now() - begin) / 1000
  return count
}

const IS_A_CLIENT = 'sub is the identifier of a client, hence the sub of its own tokens'

/** The name, where it is one: it goes into reports, and must not be what came there by mistake. */
function nameOf(value: unknown): { username?: string } {
  const { username } = (value ?? {}) as { username?: unknown }
  return typeof username === 'string' && usernameFault(username) === undefined ? { username } : {}
}

type Answer = 'created' | 'already_there' | { readonly reason: string }

async function createMany(store: Store, batch: readonly Candidate[]): Promise<Answer[]> {
  const creations = await store.users.createMany(batch.map(({ user }) => user))
  return eachOf(batch, async ({ row, user }, i) => {
    const creation = creations[i]
    if (creation === 'created') return creation
    if (creation === 'sub_taken') return SUB_TAKEN
    const found = await store.users.findByUsername(row.username)
    // Our own, of an attempt whose answer was lost.
    if (found?.sub === user.sub && found.epoch === user.epoch) return 'created'
    return answerFor(user, found)
  })
}

/** What would become of the rows. Rows of one file are not held against each other: the import itself does that. */
function checkMany(store: Store, batch: readonly Candidate[]): Promise<Answer[]> {
  return eachOf(batch, async ({ row, user }) => {
    const [byName, bySub] = await Promise.all([
      store.users.findByUsername(row.username),
      store.users.find(user.sub),
    ])
    if (byName) return answerFor(user, byName)
    return bySub ? SUB_TAKEN : 'created'
  })
}

const SUB_TAKEN = { reason: 'another user has the sub' }

/** Of a row whose name a user has: a user is known by the `sub`, whatever has changed since. */
function answerFor(user: User, found: User | undefined): Answer {
  return found?.sub === user.sub ? 'already_there' : { reason: 'another user has the name' }
}

/** Questions to the store at once: each must be answered in time. */
const ASKED_AT_ONCE = 100

async function eachOf(
  batch: readonly Candidate[],
  ask: (candidate: Candidate, i: number) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let at = 0; at < batch.length; at += ASKED_AT_ONCE) {
    const some = batch.slice(at, at + ASKED_AT_ONCE)
    answers.push(...(await Promise.all(some.map((candidate, i) => ask(candidate, at + i)))))
  }
  return answers
}

/** Asks again while the store is away; what was created by a lost attempt is found again. */
async function patiently<T>({ created, already_there }: Count, work: () => Promise<T>): Promise<T> {
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      if (performance.now() >= end) {
        throw new CommandError(
          `The store has not answered for ${PATIENCE_MS / 1000} s. ${created + already_there} users are there: run this again to go on.`,
        )
      }
      await sleep(RETRY_MS)
    }
  }
}

async function clientIdsOf(store: Store): Promise<Set<string>> {
  const ids = new Set<string>()
  for await (const { clientId } of store.clients.list()) ids.add(clientId)
  return ids
}

/** As `createUser` does for one: looks for clients that were registered meanwhile under the `sub` of a new user. */
async function takeBackClients(
  store: Store,
  before: ReadonlySet<string>,
  startedAt: number,
  count: Count,
  reject: (refusal: Refusal) => void,
): Promise<void> {
  for (const clientId of await clientIdsOf(store)) {
    if (before.has(clientId)) continue
    const user = await store.users.find(clientId)
    if (!user || user.createdAt < startedAt) continue
    await store.users.delete(user)
    count.created -= 1
    reject({ line: 0, username: user.username, reason: IS_A_CLIENT })
  }
}
