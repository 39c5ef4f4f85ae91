/** One sample of the Prometheus text format, version 0.0.4. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** What a scrape said. */
export interface Scrape {
  /** The families' names, without the suffixes of their samples. */
  readonly names: ReadonlySet<string>
  readonly samples: readonly Sample[]
  /** The sum of the samples of this name that have these labels; 0 for none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy
const SUFFIXES: Record<string, readonly string[]> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

/**
 * Reads the text format strictly: HELP and TYPE before the samples of their family, every family once, every sample
 * once, a counter's name ending in `_total`, and the buckets of a histogram growing up to its count.
 *
 * @throws Error with the line that is wrong.
 */
export function readScrape(text: string): Scrape {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const names = new Set<string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  let helped = ''
  let family = { name: '', type: '' }
  for (const line of text.split('\n')) {
    const fault = (what: string) => new Error(`${what}: ${line}`)
    if (line === '') continue
    const comment = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line)
    if (comment) {
      const [, kind, name = '', rest = ''] = comment
      if (kind === 'HELP') {
        if (names.has(name)) throw fault('a family for the second time')
        helped = name
        continue
      }
      if (name !== helped) throw fault('TYPE without HELP')
      if (!(rest in SUFFIXES)) throw fault('no type')
      if (rest === 'counter' && !name.endsWith('_total')) throw fault('a counter that is no total')
      names.add(name)
      family = { name, type: rest }
      continue
    }
    const [, name = '', labelText = '', valueText = ''] = SAMPLE.exec(line) ?? []
    if (!SUFFIXES[family.type]?.some((suffix) => name === family.name + suffix))
      throw fault('a sample of no family')
    const labels = readLabels(labelText)
    const value = Number(valueText.replace(/^([+-]?)Inf$/, '$1Infinity'))
    // Prometheus reads numbers as Go does, which takes any case.
    if (!labels || (Number.isNaN(value) && !/^nan$/i.test(valueText))) throw fault('no sample')
    const key = `${name}${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(key)) throw fault('a sample for the second time')
    seen.add(key)
    samples.push({ name, labels, value })
  }
  requireGrowingBuckets(samples)
  return {
    names,
    samples,
    sum: (name, labels = {}) =>
      samples
        .filter(
          (sample) =>
            sample.name === name &&
            Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
        )
        .reduce((sum, { value }) => sum + value, 0),
  }
}

function readLabels(text: string): Record<string, string> | undefined {
  const matches = [...text.matchAll(LABEL)]
  if (matches.map(([match]) => match).join('') !== text) return undefined
  return Object.fromEntries(matches.map(([, label, value]) => [label, value] as [string, string]))
}

function requireGrowingBuckets(samples: readonly Sample[]): void {
  const last = new Map<string, number>()
  for (const { name, labels, value } of samples) {
    if (!name.endsWith('_bucket')) continue
    const { le, ...others } = labels
    const key = name + JSON.stringify(others)
    if (le === undefined || value < (last.get(key) ?? 0)) throw new Error(`${key} shrinks at ${le}`)
    last.set(key, value)
  }
}

/** Asks a management listener for its metrics. */
export async function scrape(managementUrl: string): Promise<Scrape> {
  const response = await fetch(`${managementUrl}/metrics`)
  if (response.status !== 200) throw new Error(`the answer is ${response.status}`)
  return readScrape(await response.text())
}
