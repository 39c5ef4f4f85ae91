import { Readable } from 'node:stream'
import fc from 'fast-check'
import { claimsFault, parseExtraClaims } from '../../../src/accounts/extra-claims.ts'
import { type ImportRow, readImportRow, subOf, userOf } from '../../../src/accounts/import-row.ts'
import { readImportedHash } from '../../../src/accounts/imported-hash.ts'
import { needsRehash, readStoredHash } from '../../../src/accounts/stored-hash.ts'
import { subFault, usernameFault } from '../../../src/accounts/user.ts'
import { CommandError } from '../../../src/cli/command.ts'
import { type Row, type RowFormat, rowsOf } from '../../../src/cli/import-rows.ts'
import { mustNotEcho } from '../echo.ts'
import { mustBe, outcomeOf, type Target } from '../target.ts'

const FIREBASE = {
  signerKey: Buffer.alloc(64, 3),
  saltSeparator: Buffer.from('Bw==', 'base64'),
  rounds: 8,
  memCost: 14,
}

const salt = 'c29tZXNhbHQ'
const derived = 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
const number = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('1', '2', '8', '12', '14', '1000', '19456', '65536') },
  fc.constantFrom('0', '-1', '00', '4294967297', '9999999999', '1e3', '', '31', '20'),
)
const base64 = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(salt, derived, `${derived}=`, 'bcryptbcryptbcryptbcry') },
  fc.string({ maxLength: 6 }),
  fc.base64String({ maxLength: 60 }),
)
const kinds = fc.constantFrom<(numbers: readonly string[], texts: readonly string[]) => string>(
  ([m, t, p], [salt, key]) => `$argon2id$v=19$m=${m},t=${t},p=${p}$${salt}$${key}`,
  ([m, t, p], [salt, key]) => `$argon2i$m=${m},t=${t},p=${p}$${salt}$${key}`,
  ([cost], [salt, key]) => `$2b$${cost}$${`${salt}${key}`.padEnd(53, 'a').slice(0, 53)}`,
  ([cost], [salt, key]) => `$2x$${cost}$${salt}${key}`,
  ([ln, r, p], [salt, key]) => `$scrypt$ln=${ln},r=${r},p=${p}$${salt}$${key}`,
  ([n, r, p], [salt, key]) => `scrypt$${n}$${salt}$${r}$${p}$${key}`,
  ([i], [salt, key]) => `$pbkdf2-sha256$${i}$${salt}$${key}`,
  ([i], [salt, key]) => `pbkdf2_sha512$${i}$${salt}$${key}`,
  ([n, r], [salt, key]) => `$fbscrypt$v=1,n=${n},r=${r},p=1,ss=${salt},sk=${key}$${salt}$${key}`,
  ([i, m, p], [salt, value]) =>
    JSON.stringify({
      type: 'password',
      secretData: JSON.stringify({ value, salt }),
      credentialData: JSON.stringify({
        hashIterations: Number(i),
        algorithm: 'argon2',
        additionalParameters: { memory: [m], type: ['id'], version: ['1.3'], parallelism: [p] },
      }),
    }),
  (_, [salt, passwordHash]) => JSON.stringify({ passwordHash, salt }),
)
const hash = fc
  .tuple(
    kinds,
    fc.array(number, { minLength: 3, maxLength: 3 }),
    fc.array(base64, { minLength: 2, maxLength: 2 }),
  )
  .map(([kind, numbers, texts]) => kind(numbers, texts))

const username = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('ada', 'Zoë', 'zoe\u0308', 'x'.repeat(256), '🐴'.repeat(200)) },
  // Composed, these are longer than they were.
  fc.constantFrom('\u0958'.repeat(200), '\u1e9e', 'ﬁ', '\u212a', '\u2000x', 'x\u200d', '\ud800', 'a\0b', ' '),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const claims = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom<unknown>({}, { tenant: 'x', roles: ['admin'] }) },
  fc.constantFrom<unknown>({ sub: 'x' }, [], 'x', null, { x: 'y'.repeat(2100) }),
  fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 }),
)
const row = fc.record(
  {
    username,
    password_hash: hash,
    sub: fc.constantFrom<unknown>('auth0|5f7', '', 'with space', 'x'.repeat(256), 5),
    claims,
    disabled: fc.constantFrom<unknown>(true, false, 'true', null),
  },
  { requiredKeys: ['username', 'password_hash'] },
)

export const IMPORT_ROW: Target = {
  name: 'import-row',
  share: 140,
  grammar: row.map((row) => JSON.stringify(row)),
  hold(input) {
    const text = input.toString()
    holdHash(text, text)
    const said = outcomeOf(() => parseExtraClaims(text), TypeError)
    if ('value' in said)
      mustBe(claimsFault(said.value) === undefined || text.length > 0, 'claims that are none')
    else mustNotEcho(said.error.message, text)
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      return
    }
    const outcome = outcomeOf(() => readImportRow(json, FIREBASE), TypeError)
    if ('error' in outcome) return mustNotEcho(outcome.error.message, text)
    holdRow(outcome.value, text)
  },
}

/** A hash alone is fuzzed along with its row. */
function holdHash(value: unknown, text: string): void {
  const outcome = outcomeOf(() => readImportedHash(value, FIREBASE), TypeError)
  if ('error' in outcome) mustNotEcho(outcome.error.message, text)
  else holdStored(outcome.value)
}

function holdStored(stored: string): void {
  mustBe(stored.length <= 1024 && /^\$[\x21-\x7e]+$/.test(stored), 'stored in a text that is none of ours')
  mustBe(readImportedHash(stored) === stored, 'what is stored is not read as it was')
  needsRehash(stored)
  const read = readStoredHash(stored)
  // What one guess may cost, once more: memory in KiB, and work as passes over it.
  if (read.kind === 'argon2')
    mustBe(read.memory <= 2 ** 18 && read.memory * read.passes <= 2 ** 20, 'too dear')
  if (read.kind === 'bcrypt') mustBe(read.cost >= 4 && read.cost <= 14, 'too dear')
  if (read.kind === 'pbkdf2') mustBe(read.iterations >= 1 && read.iterations <= 4_000_000, 'too dear')
  if (read.kind === 'scrypt' || read.kind === 'firebase-scrypt')
    mustBe(2 ** read.logN * read.blockSize <= 2 ** 20, 'too dear')
  const key = read.kind === 'firebase-scrypt' ? read.keystream : 'key' in read ? read.key : undefined
  mustBe(key === undefined || (key.length >= 16 && key.length <= 128), 'a key that fits too much')
}

function holdRow(row: ImportRow, text: string): void {
  holdStored(row.passwordHash)
  mustBe(usernameFault(row.username) === undefined, 'a user name is stored that would be refused')
  mustBe(row.username === row.username.normalize('NFC'), 'a user name that is not NFC')
  mustBe(claimsFault(row.claims) === undefined, 'claims that are none')
  mustBe(row.sub === undefined || subFault(row.sub) === undefined, 'a sub that is none')
  const again = readImportRow(JSON.parse(text), FIREBASE)
  mustBe(userOf(row).sub === subOf(again), 'another sub the second time')
  mustBe(Object.getPrototypeOf(row.claims) === Object.prototype, 'claims with a prototype of their own')
}

/** All that is read of a file that arrives in these pieces. */
async function readAll(
  pieces: readonly Buffer[],
  format: RowFormat,
): Promise<{ rows: Row[]; fault?: string }> {
  const rows: Row[] = []
  try {
    for await (const row of rowsOf(Readable.from(pieces), format)) rows.push(row)
    return { rows }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return { rows, fault: error.message }
  }
}

function piecesOf(input: Buffer): Buffer[] {
  // Where it is cut follows from the input, so that a run can be repeated.
  const size = 1 + ((input[0] ?? 0) % 7) * 5
  const pieces: Buffer[] = []
  for (let at = 0; at < input.length; at += size) pieces.push(input.subarray(at, at + size))
  return pieces.length > 500 ? [input] : pieces
}

function importFile(name: string, format: RowFormat, grammar: Target['grammar']): Target {
  return {
    name,
    share: 35,
    grammar,
    async hold(input) {
      const whole = await readAll([input], format)
      mustBe(
        JSON.stringify(await readAll(piecesOf(input), format)) === JSON.stringify(whole),
        'other rows when it arrives in pieces',
      )
      mustNotEcho(whole.fault ?? '', input.toString())
      let line = 0
      for (const row of whole.rows) {
        mustBe(row.line > line, 'lines that do not rise')
        line = row.line
        mustBe('value' in row !== 'fault' in row, 'a row that is neither read nor refused')
        mustNotEcho(row.fault ?? '', input.toString())
      }
      if (format === 'ndjson') holdLines(whole.rows, input)
    },
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The lines once more, by splitting the text. */
function holdLines(rows: readonly Row[], input: Buffer): void {
  const expected = input
    .toString('latin1')
    .split('\n')
    .map((line, i) => ({ line: i + 1, octets: Buffer.from(line, 'latin1') }))
    .filter(({ octets }) => /[^\s]/.test(octets.toString('latin1')))
  mustBe(rows.length === expected.length, 'another number of rows')
  for (const [i, { line, octets }] of expected.entries()) {
    let value: unknown
    try {
      value = JSON.parse(utf8.decode(octets).trim())
    } catch {}
    mustBe(rows[i]!.line === line, 'another line')
    mustBe(JSON.stringify(rows[i]!.value) === JSON.stringify(value), 'another value')
  }
}

const ndjsonLine = fc.oneof(
  { weight: 5, arbitrary: row.map((row) => JSON.stringify(row)) },
  fc.constantFrom('', ' ', '{', '{}', 'null', '\ufeff{}', '{"username":"x"}', '\r'),
)
const cell = fc.oneof(
  fc.constantFrom(
    'ada',
    '',
    'true',
    'FALSE',
    '"a,b"',
    '"a""b"',
    '"two\nlines"',
    '"',
    'a"b',
    '{"x":1}',
    '"{""x"":1}"',
  ),
  fc.string({ maxLength: 6 }),
)
const head = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.constantFrom('username,password_hash', 'username,claims,disabled', '\ufeffusername,sub'),
  },
  fc.constantFrom('', 'username,username', 'user', '"username","sub"', '__proto__,username'),
)

export const NDJSON: Target = importFile(
  'import-ndjson',
  'ndjson',
  fc.array(ndjsonLine, { maxLength: 4 }).map((lines) => lines.join('\n')),
)

export const CSV: Target = importFile(
  'import-csv',
  'csv',
  fc
    .tuple(head, fc.array(fc.array(cell, { maxLength: 4 }), { maxLength: 4 }), fc.constantFrom('\n', '\r\n'))
    .map(([head, records, end]) => [head, ...records.map((cells) => cells.join(','))].join(end)),
)
