import type { Random } from './random.ts'

/** Longer inputs are cut: what takes more than a request or a line may is refused by its length elsewhere. */
export const MAX_BYTES = 16 * 1024

/** What has broken readers before: of percent escapes, UTF-8, base64, JSON, regular expressions, URLs, paths, logs. */
const HOSTILE: readonly Buffer[] = [
  ...[
    '%',
    '%0',
    '%00',
    '%zz',
    '%ff',
    '%C0%80',
    '%ED%A0%80',
    '%F4%90%80%80',
    '%E2%82',
    '%u0041',
    '%25',
    '%2B',
  ],
  ...[
    '+',
    ' ',
    '  ',
    '\t',
    '\n',
    '\r\n',
    '\0',
    '\x1b[31m',
    '\x7f',
    '\u2028',
    '\ufeff',
    '\ufffd',
    '\u202e',
    'ſ',
    'İ',
  ],
  ...[
    '&',
    '=',
    '==',
    ';',
    ':',
    '::',
    '"',
    "'",
    '\\',
    '\\u0000',
    '\\ud800',
    '/',
    '//',
    '../',
    '?',
    '#',
    '@',
    '|',
  ],
  ...[
    '-',
    '_',
    '.',
    '..',
    ',',
    '$',
    '$$',
    '{',
    '}',
    '[',
    ']',
    '{}',
    '[]',
    '""',
    '<',
    '>',
    '<!--',
    '{{7*7}}',
    '*',
  ],
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'null',
    'true',
    'undefined',
    'NaN',
  ],
  ...[
    '0',
    '-0',
    '-1',
    '00',
    '1e999',
    '1e-9',
    '0x10',
    '4294967296',
    '9007199254740993',
    '99999999999999999999',
  ],
  ...['none', 'None', 'HS256', 'alg', 'crit', 'b64', 'jwk', 'prt_', 'Basic ', 'Bearer ', 'a'.repeat(300)],
].map((text) => Buffer.from(text))
const HOSTILE_OCTETS = [
  Buffer.from([0xff]),
  Buffer.from([0xc0, 0x80]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xf5, 0x80, 0x80, 0x80]),
  Buffer.from([0xe2, 0x82]),
]
const TOKENS = [...HOSTILE, ...HOSTILE_OCTETS]

type Change = (input: Buffer, random: Random, others: readonly Buffer[]) => Buffer

/** @param count how many bytes are taken out. */
function spliced(input: Buffer, at: number, count: number, inserted: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), inserted, input.subarray(at + count)])
}

/** A part of the input, mostly a short one. */
function rangeIn(input: Buffer, random: Random): [from: number, to: number] {
  const from = random.below(input.length + 1)
  const most = random.once(4) ? input.length - from : Math.min(8, input.length - from)
  return [from, from + random.below(most + 1)]
}

const CHANGES: readonly Change[] = [
  function flipBit(input, random) {
    if (input.length === 0) return input
    const changed = Buffer.from(input)
    const at = random.below(input.length)
    changed[at] = changed[at]! ^ (1 << random.below(8))
    return changed
  },
  function setByte(input, random) {
    return spliced(input, random.below(input.length + 1), 1, random.bytes(1))
  },
  function insert(input, random) {
    return spliced(input, random.below(input.length + 1), 0, random.oneOf(TOKENS))
  },
  function replace(input, random) {
    const [from, to] = rangeIn(input, random)
    return spliced(input, from, to - from, random.oneOf(TOKENS))
  },
  function remove(input, random) {
    const [from, to] = rangeIn(input, random)
    return spliced(input, from, to - from, Buffer.alloc(0))
  },
  function repeat(input, random) {
    const [from, to] = rangeIn(input, random)
    const times = random.once(20) ? 1 + random.below(2000) : 1 + random.below(3)
    const part = input.subarray(from, to)
    if (part.length * times > MAX_BYTES) return input
    return spliced(input, to, 0, Buffer.concat(Array<Buffer>(times).fill(part)))
  },
  function truncate(input, random) {
    return input.subarray(0, random.below(input.length + 1))
  },
  function swapCase(input, random) {
    const changed = Buffer.from(input)
    const at = random.below(input.length + 1)
    const letter = changed[at] ?? 0
    if (/[A-Za-z]/.test(String.fromCharCode(letter))) changed[at] = letter ^ 0x20
    return changed
  },
  function cross(input, random, others) {
    const other = random.oneOf(others)
    const [from, to] = rangeIn(other, random)
    return spliced(input, random.below(input.length + 1), 0, other.subarray(from, to))
  },
  function crossOver(input, random, others) {
    const other = random.oneOf(others)
    return Buffer.concat([
      input.subarray(0, random.below(input.length + 1)),
      other.subarray(random.below(other.length + 1)),
    ])
  },
]

/** One of the inputs with one to four changes, octet by octet; now and then with none. */
export function mutant(inputs: readonly Buffer[], random: Random): Buffer {
  let input = random.oneOf(inputs)
  if (random.once(50)) return input
  const changes = 1 + (random.once(3) ? random.below(4) : 0)
  for (let i = 0; i < changes; i += 1) input = random.oneOf(CHANGES)(input, random, inputs)
  return input.subarray(0, MAX_BYTES)
}
