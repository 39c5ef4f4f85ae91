import { test } from 'tap'
import { exerciseClients } from './clients.ts'
import { documented, tableOf } from './matrix.ts'
import { exerciseVerifiers } from './verifiers.ts'

const rows = [...exerciseClients(), ...exerciseVerifiers()]

test('the matrix', async (t) => {
  // On stderr, which the runner shows as it is.
  process.stderr.write(`\n${tableOf(rows)}\n\n`)
  for (const row of rows) {
    t.ok(row.ok, row.name)
    const { version, held } = row
    t.strictSame(
      documented(row),
      { version, exercised: [...held].join(', ') },
      `${row.name} in docs/interop.md`,
    )
  }
})
