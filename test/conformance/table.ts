import t, { type Test } from 'tap'
import type { StoreKind } from '../support/deployment.ts'
import { BROWSER } from './browser.ts'
import { CLIENT_AUTHENTICATION } from './client-authentication.ts'
import { contextOf, prepareStage } from './context.ts'
import { GENERATED } from './generated.ts'
import { GRANTS } from './grants.ts'
import { INTROSPECTION } from './introspection.ts'
import { JOSE } from './jose.ts'
import { METADATA } from './metadata.ts'
import { REVOCATION } from './revocation.ts'
import type { Row } from './row.ts'
import { SERVER } from './server.ts'
import { TOKEN_ENDPOINT } from './token-endpoint.ts'

const ROWS: readonly Row[] = [
  ...TOKEN_ENDPOINT,
  ...CLIENT_AUTHENTICATION,
  ...GRANTS,
  ...REVOCATION,
  ...INTROSPECTION,
  ...JOSE,
  ...METADATA,
  ...BROWSER,
  ...SERVER,
  ...GENERATED,
]
const ROWS_IN_ALL = 49
const ROWS_AT_ONCE = 3
/** Twice what a busy machine of two cores takes. */
const TIME_LIMIT_MS = 300_000

interface Outcome {
  readonly row: Row
  readonly holds: boolean
  readonly seconds: number
}

/** Holds every row of docs/conformance.md against a server on this store, and prints the table. */
export function holdTable(kind: StoreKind): void {
  t.setTimeout(TIME_LIMIT_MS)
  t.test(`conformance, on ${kind}`, async (t) => {
    const stage = await prepareStage(t, kind)
    const chosen = process.env.CONFORMANCE_ROWS?.split(',')
    const rows = chosen ? ROWS.filter(({ id }) => chosen.includes(id)) : ROWS
    const hold = async (row: Row): Promise<Outcome> => {
      let seconds = 0
      const result = await t.test(`${row.id} ${row.title}`, async (t) => {
        const begin = performance.now()
        await row.hold(t, contextOf(stage, numberOf(row))).finally(() => {
          seconds = (performance.now() - begin) / 1000
        })
      })
      return { row, holds: result?.ok === true, seconds }
    }
    // Many rows wait for a time to pass, and none depends on another.
    t.jobs = ROWS_AT_ONCE
    const outcomes = await Promise.all(rows.filter(({ alone }) => !alone).map(hold))
    t.jobs = 1
    for (const row of rows.filter(({ alone }) => alone)) outcomes.push(await hold(row))
    outcomes.sort((a, b) => numberOf(a.row) - numberOf(b.row))
    print(t, kind, outcomes)
    if (!chosen)
      t.strictSame(
        ROWS.map(numberOf),
        Array.from({ length: ROWS_IN_ALL }, (_, i) => i + 1),
        'every row is there',
      )
  })
}

function numberOf({ id }: Row): number {
  return Number(id.slice(1))
}

function print(t: Test, kind: StoreKind, outcomes: readonly Outcome[]): void {
  for (const { row, holds, seconds } of outcomes) {
    const time = `${seconds.toFixed(1)} s`.padStart(7)
    t.comment(`${row.id.padEnd(3)} ${holds ? 'holds' : 'FAILS'} ${time}  ${row.title}`)
  }
  const held = outcomes.filter(({ holds }) => holds).length
  const said = `${kind}: ${held} of ${outcomes.length} rows hold`
  t.comment(said)
  // A reporter may keep comments to itself.
  process.stderr.write(`${said}\n`)
  t.equal(held, outcomes.length, `${held} of ${outcomes.length} rows hold, on ${kind}`)
}
