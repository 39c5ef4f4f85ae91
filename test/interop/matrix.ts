import { readFileSync } from 'node:fs'
import type { Test } from 'tap'

const MODULES = new URL('../../../node_modules/', import.meta.url)
const DOCUMENT = new URL('../../../docs/interop.md', import.meta.url)

/** A library, or several that work as one, and what they were seen to do. */
export interface Row {
  readonly name: string
  readonly version: string
  /** What was exercised and held, in the order in which it was first seen. */
  readonly held: ReadonlySet<string>
  readonly ok: boolean
  /** Runs a part of the exercise as a subtest. The part says `did` of each feature whose assertions have held. */
  exercise(t: Test, name: string, part: (t: Test, did: Did) => Promise<void>): Promise<void>
}

export type Did = (feature: string) => void

/** @param libraries npm packages, as they are installed. */
export function newRow(libraries: readonly string[]): Row {
  const held = new Set<string>()
  let ran = 0
  let good = 0
  return {
    name: libraries.join(' + '),
    version: libraries.map(versionOf).join(', '),
    held,
    get ok() {
      return ran > 0 && good === ran
    },
    async exercise(t, name, part) {
      ran += 1
      const result = await t.test(`${this.name}: ${name}`, (t) =>
        part(t, (feature) => {
          if (t.passing()) held.add(feature)
        }),
      )
      if (result?.ok) good += 1
    },
  }
}

function versionOf(library: string): string {
  return JSON.parse(readFileSync(new URL(`${library}/package.json`, MODULES), 'utf8')).version
}

/** The matrix in plain text. */
export function tableOf(rows: readonly Row[]): string {
  const cells = rows.map(({ name, version, ok, held }) => [
    name,
    version,
    ok ? 'ok' : 'FAILED',
    [...held].join(', '),
  ])
  const table = [['library', 'version', '', 'exercised'], ...cells]
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)))
  return table.map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')).join('\n')
}

/** The row as docs/interop.md has it, version and features; undefined where it has none of this name. */
export function documented({ name }: Row): { version: string; exercised: string } | undefined {
  const lines = readFileSync(DOCUMENT, 'utf8').split('\n')
  const cells = lines
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find(([, first]) => first === name)
  return cells && { version: cells[2] ?? '', exercised: cells[3] ?? '' }
}
