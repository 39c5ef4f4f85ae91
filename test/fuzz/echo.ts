import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Violation } from './target.ts'

/** So many characters in a row are no accident. */
const LEAST = 6
/** Of a message that is longer than any of ours nothing more is looked at. */
const MAX_MESSAGE = 20_000

const SRC = fileURLToPath(new URL('../../../src/', import.meta.url))

/** All that is written in `src`: of this a message may be made. */
const ours = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(SRC, file), 'utf8'))
  .join('\n')

const strangeParts = new Map<string, readonly string[]>()

/** Parts of a message that stand in no source file, so that they come from elsewhere. */
function strangeIn(message: string): readonly string[] {
  const known = strangeParts.get(message)
  if (known) return known
  const parts: string[] = []
  for (let at = 0; at + LEAST <= Math.min(message.length, MAX_MESSAGE); at += 1) {
    const part = message.slice(at, at + LEAST)
    if (!ours.includes(part)) parts.push(part)
  }
  // Constants are few; what is made of the input is not.
  if (strangeParts.size < 10_000) strangeParts.set(message, parts)
  return parts
}

/** @throws {Violation} when the message repeats something of the input that is not a word of ours. */
export function mustNotEcho(message: string, input: string): void {
  const part = strangeIn(message).find((part) => input.includes(part))
  if (part !== undefined) throw new Violation(`the message repeats of the input: ${message}`)
}
