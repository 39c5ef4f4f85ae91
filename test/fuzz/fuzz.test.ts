import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'tap'
import { mustNotEcho } from './echo.ts'
import { CORPUS, described, fuzz, tryCorpus } from './fuzz.ts'
import { mustBe, type Target } from './target.ts'
import { TARGETS } from './targets.ts'

/** Of each target here; `npm run test:long` tries a million. */
const INPUTS = 1500
/** Of those whose inputs cost a signature or a file. */
const DEAR: Readonly<Record<string, number>> = {
  'access-token': 400,
  'signing-key': 200,
  'seed-file': 400,
  'import-csv': 400,
}
const SEED = 20_261_120

for (const target of TARGETS) {
  test(`hostile input: ${target.name}`, async (t) => {
    const kept = await tryCorpus(target)
    t.strictSame(kept.findings.map(described), [], `the ${kept.inputs} inputs of the corpus`)
    const asked = DEAR[target.name] ?? INPUTS
    const { findings, inputs } = await fuzz(target, asked, SEED)
    t.strictSame(findings.map(described), [], `seed ${SEED}`)
    t.equal(inputs, asked)
  })
}

test('every target has its corpus, and its part of a long run', async (t) => {
  t.strictSame(readdirSync(CORPUS).sort(), TARGETS.map(({ name }) => name).sort())
  t.ok(TARGETS.every(({ share }) => share > 0))
})

test('what is wrong is found, and found again by the same seed', async (t) => {
  // A reader that takes two scope tokens in a row for one, as if the check between them had been forgotten.
  const tried: string[] = []
  const faulty: Target = {
    name: 'scope',
    share: 1,
    grammar: fc.constant('read write'),
    hold(input) {
      tried.push(input.toString('latin1'))
      mustBe(!/ {2}/.test(input.toString()), 'two spaces are taken')
    },
  }
  const first = await fuzz(faulty, 2000, 7, { most: 1000 })
  t.ok(first.findings.length > 0, 'a planted fault is found')
  t.match(first.findings[0]?.what, /two spaces are taken/)
  const inputs = tried.splice(0)
  t.ok(new Set(inputs).size > inputs.length / 5, 'by inputs that differ')
  t.strictSame(
    await fuzz(faulty, 2000, 7, { most: 1000 }).then(({ findings }) => findings.map(({ input }) => input)),
    [...first.findings.map(({ input }) => input)],
  )
  t.strictSame(tried.splice(0), inputs, 'equal seeds, equal inputs')
  await fuzz(faulty, 2000, 8)
  t.not(tried.join(), inputs.join(), 'another seed, others')
})

test('an input that takes too long is found, and so is an echo', async (t) => {
  const slow: Target = {
    name: 'scope',
    share: 1,
    grammar: fc.constant(''),
    hold() {
      const begin = process.cpuUsage()
      while (process.cpuUsage(begin).user < 15_000);
    },
  }
  t.match((await fuzz(slow, 1, 7, { maxMs: 10 })).findings[0]?.what, /it takes \d+ ms/)
  t.throws(() => mustNotEcho('the client s3cr3t! is unknown', 'client_secret=s3cr3t!'), { name: 'Violation' })
  t.doesNotThrow(() => mustNotEcho('The body is not well-formed form data', 'The body is not well-formed'))
})
