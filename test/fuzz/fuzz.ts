import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { mutant } from './mutate.ts'
import { Random } from './random.ts'
import type { Target } from './target.ts'

/*
 * Inputs for a target, half of them made by its grammar and half by changing octets of its corpus, always the same for
 * one seed. An input that breaks what must hold belongs into the corpus, where it is tried at every run from then on.
 */
export const CORPUS = fileURLToPath(new URL('../../../test/fuzz/corpus/', import.meta.url))

/** No input may take longer than this, at its best of three tries: what backtracks or is quadratic takes seconds. */
const MAX_MS = 250
const BATCH = 256

export interface Finding {
  readonly target: string
  readonly what: string
  readonly input: Buffer
}

export interface Findings {
  readonly inputs: number
  readonly findings: readonly Finding[]
}

/** The inputs that are kept for a target, by their files' names. */
export function corpusOf({ name, seeds = [] }: Target): ReadonlyMap<string, Buffer> {
  const folder = join(CORPUS, name)
  const files = readdirSync(folder).sort()
  const kept = files.map((file) => [file, readFileSync(join(folder, file))] as const)
  return new Map([...kept, ...seeds.map((seed, i) => [`seed ${i}`, seed] as const)])
}

/** Tries everything of the corpus. */
export async function tryCorpus(target: Target): Promise<Findings> {
  const findings: Finding[] = []
  const corpus = corpusOf(target)
  for (const [name, input] of corpus) {
    const what = await faultOf(target, input, MAX_MS)
    if (what !== undefined) findings.push({ target: target.name, what: `${name}: ${what}`, input })
  }
  return { inputs: corpus.size, findings }
}

/**
 * Tries so many inputs.
 *
 * @param seed makes them: equal seeds, equal inputs.
 * @param most so many findings end it.
 */
export async function fuzz(
  target: Target,
  inputs: number,
  seed: number,
  { most = 5, maxMs = MAX_MS }: { readonly most?: number; readonly maxMs?: number } = {},
): Promise<Findings> {
  const random = new Random(seed)
  const corpus = [...corpusOf(target).values()]
  const findings: Finding[] = []
  let count = 0
  while (count < inputs && findings.length < most) {
    const half = Math.min(BATCH, Math.ceil((inputs - count) / 2))
    const made = fc.sample(target.grammar, { numRuns: half, seed: random.below(2 ** 31) })
    const grown = made.map((input) => (typeof input === 'string' ? Buffer.from(input) : input))
    for (const input of grown) {
      for (const tried of [input, mutant(random.once(4) ? grown : corpus, random)]) {
        if (count === inputs || findings.length === most) break
        count += 1
        const what = await faultOf(target, tried, maxMs)
        if (what !== undefined) findings.push({ target: target.name, what, input: tried })
      }
    }
  }
  return { inputs: count, findings }
}

/** What is wrong with how the target takes the input; `undefined` when nothing is. */
async function faultOf(target: Target, input: Buffer, maxMs: number): Promise<string | undefined> {
  let best = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 3 && best > maxMs; turn += 1) {
    const begin = process.cpuUsage()
    try {
      await target.hold(input)
    } catch (error) {
      return (error as Error).stack ?? String(error)
    }
    // Not by the clock: other programs have the processor, too.
    const { user, system } = process.cpuUsage(begin)
    best = Math.min(best, (user + system) / 1000)
  }
  return best > maxMs ? `it takes ${best.toFixed(0)} ms` : undefined
}

/** A finding as it is printed: enough to try it again, and to keep it. */
export function described({ target, what, input }: Finding): string {
  return `${target}: ${what}\n  input (base64): ${input.toString('base64')}`
}
