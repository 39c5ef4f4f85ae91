// Adds up what the tests of a run have counted (test/support/count.ts), by what it is and on which store.
const COUNT = /^count: (?<what>\D+?) (?<number>\d+)(?: on (?<store>\w+))?, violations (?<violations>\d+)/

/** @returns a table with a row for each thing that was counted, and the sum of the violations in its last line. */
export function tableOf(lines) {
  const rows = new Map()
  let violations = 0
  for (const line of lines) {
    const { what, number, store = 'either', violations: found } = COUNT.exec(line)?.groups ?? {}
    if (what === undefined) throw new Error(`This is no count: ${line}`)
    const row = rows.get(what) ?? { lmdb: 0, redis: 0, either: 0, violations: 0 }
    row[store] += Number(number)
    row.violations += Number(found)
    rows.set(what, row)
    violations += Number(found)
  }
  const head = ['counted', 'on lmdb', 'on redis', 'on neither', 'violations']
  const cells = [...rows].map(([what, { lmdb, redis, either, violations }]) => [
    what,
    ...[lmdb, redis, either].map((number) => (number > 0 ? number.toLocaleString('en') : '')),
    String(violations),
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...cells].map((row) => row[i].length)))
  const table = [head, ...cells].map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
  )
  return [...table, `violations in all: ${violations}`].join('\n')
}
