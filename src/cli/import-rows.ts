import type { Readable } from 'node:stream'
import { CommandError } from './command.ts'

/*
 * The rows of an import file, one after another, whatever the size of the file.
 */
export interface Row {
  /** Of the file, from 1; where the row begins. */
  readonly line: number
  /** What the row says; where it cannot be read at all, the `fault` that completes "the row …". */
  readonly value?: unknown
  readonly fault?: string
}

export const ROW_FORMATS = ['ndjson', 'csv'] as const
export type RowFormat = (typeof ROW_FORMATS)[number]

/** A user has a name, a hash and two kilobytes of claims at most. */
const MAX_ROW_BYTES = 64 * 1024
const LINE_FEED = 0x0a

/** @throws {CommandError} where the file as a whole cannot be read on. */
export function rowsOf(file: Readable, format: RowFormat): AsyncIterable<Row> {
  return format === 'csv' ? csvRows(file) : ndjsonRows(file)
}

async function* ndjsonRows(file: Readable): AsyncGenerator<Row> {
  let line = 0
  for await (const bytes of linesOf(file)) {
    line += 1
    if (bytes === 'too long') yield { line, fault: `is longer than ${MAX_ROW_BYTES} bytes` }
    else if (bytes.length > 0) yield { line, ...jsonIn(bytes) }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function jsonIn(bytes: Buffer): Pick<Row, 'value' | 'fault'> {
  let text: string
  try {
    text = utf8.decode(bytes).trim()
  } catch {
    return { fault: 'is not UTF-8' }
  }
  try {
    return { value: JSON.parse(text) }
  } catch {
    return { fault: 'is not JSON' }
  }
}

/** Lines without their ends; blank ones are empty. */
async function* linesOf(file: Readable): AsyncGenerator<Buffer | 'too long'> {
  let begun: Buffer[] = []
  let length = 0
  const take = (part: Buffer) => {
    // Of a line that is too long only its length is kept.
    length += part.length
    if (length <= MAX_ROW_BYTES) begun.push(part)
    else begun = []
  }
  const end = () => {
    const line = length > MAX_ROW_BYTES ? 'too long' : withoutBlanks(Buffer.concat(begun))
    begun = []
    length = 0
    return line
  }
  for await (const chunk of file as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      take(chunk.subarray(from, at))
      yield end()
      from = at + 1
    }
    take(chunk.subarray(from))
  }
  if (length > 0) yield end()
}

const withoutBlanks = (line: Buffer) => (/^\s*$/.test(line.toString('latin1')) ? Buffer.alloc(0) : line)

const COLUMNS = ['username', 'password_hash', 'sub', 'claims', 'disabled']

// RFC 4180. The first record names the columns.
async function* csvRows(file: Readable): AsyncGenerator<Row> {
  // Loaded here, since the other commands need not wait for it.
  const { CsvError, parse } = await import('csv-parse')
  let read: { record: string[]; lines: number }[] = []
  let failure: unknown
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_BYTES,
    // Nothing is left in the parser, so that an error takes no record with it that came before.
    on_record: (record: string[], { lines }) => {
      read.push({ record, lines })
      return null
    },
  })
  parser.resume().on('error', (error) => {
    failure = error
  })
  let columns: string[] | undefined
  let line = 1
  function* rows(): Generator<Row> {
    for (const { record, lines } of read) {
      if (columns === undefined) columns = columnsOf(record)
      else yield { line, ...rowOf(columns, record) }
      line = lines + 1
    }
    read = []
    if (failure instanceof CsvError) {
      throw new CommandError(
        `The CSV cannot be read on from line ${line} (${failure.code}). The rows before it are taken; mend it, and run this again.`,
      )
    }
    if (failure !== undefined) throw failure
  }
  for await (const chunk of file as AsyncIterable<Buffer>) {
    await new Promise<void>((resolve) => parser.write(chunk, () => resolve()))
    yield* rows()
  }
  await new Promise<void>((resolve) => parser.end(() => resolve()))
  yield* rows()
}

function columnsOf(record: string[]): string[] {
  const unknown = record.find((name) => !COLUMNS.includes(name))
  if (unknown !== undefined || new Set(record).size !== record.length || !record.includes('username')) {
    throw new CommandError(
      `The first line of the CSV must name its columns: username, password_hash, and of ${COLUMNS.slice(2).join(', ')} those that there are, each once`,
    )
  }
  return record
}

function rowOf(columns: string[], record: string[]): Pick<Row, 'value' | 'fault'> {
  if (record.length !== columns.length) {
    return { fault: `has ${record.length} columns, and the first line names ${columns.length}` }
  }
  const value: Record<string, unknown> = {}
  for (const [i, name] of columns.entries()) {
    const text = record[i]!
    // A column that is empty says nothing.
    if (text === '') continue
    if (name === 'claims') {
      try {
        value[name] = JSON.parse(text)
      } catch {
        return { fault: 'has claims that are not JSON' }
      }
    } else if (name === 'disabled') {
      value[name] = /^true$/i.test(text) ? true : /^false$/i.test(text) ? false : text
    } else value[name] = text
  }
  return { value }
}
