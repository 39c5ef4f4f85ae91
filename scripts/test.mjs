// Runs the compiled tests under tap: each failure, count and figure as it comes, one line for each file as it ends, at the end
// what failed and the sums of what was counted, and as the last line "N passed, N failed", in tap's own count. Arguments go to tap: npm test -- dist/test/oauth/*.test.js
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'
import { tableOf } from './counts.mjs'

const bin = fileURLToPath(new URL('../node_modules/.bin/tap', import.meta.url))

// tap arrives with all its plugins compiled in. Of those that .taprc leaves out the one for TypeScript crashes with
// TypeScript 7, and the one for mocks, which no test uses, loads hooks into each test file. So tap must be built anew once
// after each install, or the first run loads them all the same.
const builtTap = new URL('../../test-built/dist/esm/index.js', import.meta.resolve('@tapjs/test'))
if (/@tapjs\/(?:typescript|mock)/.test(readFileSync(builtTap, 'utf8')))
  spawnSync(bin, ['build'], { stdio: 'inherit' })

const tap = spawn(bin, ['run', '--reporter=tap', ...process.argv.slice(2)], {
  stdio: ['inherit', 'pipe', 'inherit'],
})

const parser = new Parser()
const count = { pass: 0, fail: 0, skip: 0, todo: 0 }
const failures = []
// tap-parser tells these of the single assertions, however deep they are.
for (const outcome of Object.keys(count)) parser.on(outcome, () => count[outcome]++)
parser.on('fail', (failure) => {
  failures.push(failure)
  show(failure)
})
// At the top level an assertion is a whole test file.
parser.on('assert', ({ ok, name, time, skip }) => {
  const outcome = skip ? 'skip' : ok ? 'ok  ' : 'FAIL'
  console.log(`${outcome} ${name}${time ? ` ${(time / 1000).toFixed(1)} s` : ''}`)
})
// What a file has counted, wherever in it that is said.
const counted = []
listen(parser)
parser.on('bailout', (reason) => console.log(`tap gave up: ${reason}`))
tap.stdout.pipe(parser)

const [[status, signal]] = await Promise.all([once(tap, 'close'), once(parser, 'complete')])

if (failures.length > 0) console.log(`\n${failures.map(({ fullname }) => `FAIL ${fullname}`).join('\n')}`)
if (counted.length > 0) console.log(`\n${tableOf(counted)}`)
if (count.skip + count.todo > 0) console.log(`\n${count.skip} skipped, ${count.todo} to do`)
// A run that broke off with no failed test to show for it has failed all the same.
if (status !== 0 && count.fail === 0) {
  console.log(`\ntap ended with ${signal ?? status}`)
  count.fail = 1
}
console.log(`\n${count.pass} passed, ${count.fail} failed`)
process.exitCode = count.fail === 0 ? 0 : 1

/** In full, as soon as it is known: a long run may be broken off. */
function show({ fullname, diag }) {
  console.log(`\nFAIL ${fullname}`)
  // The source excerpt repeats what the stack points to.
  const { at, source, ...rest } = diag ?? {}
  for (const [name, value] of Object.entries(rest)) {
    const text = typeof value === 'string' ? value.trimEnd() : inspect(value, { depth: 5 })
    console.log(`  ${name}: ${text.includes('\n') ? `\n${text}` : text}`.replaceAll('\n', '\n    '))
  }
}

function listen(part) {
  part.on('comment', (comment) => {
    const [, said, what] = /^\s*# ((count|figure): .*)/.exec(comment) ?? []
    if (said) console.log(said)
    if (what === 'count') counted.push(said)
  })
  part.on('child', listen)
}
