import type { Test } from 'tap'
import type { StoreKind } from './deployment.ts'

export interface Counted {
  /** What was counted, as in `histories`: what has the same name is added up. */
  readonly what: string
  readonly number: number
  /** The store on which, where it was on one. */
  readonly on?: StoreKind
  /** Of what was to hold; unless given, what has failed in the test so far. */
  readonly violations?: number
  /** Whatever else is worth knowing of it. */
  readonly more?: string
}

/** Says what a test has counted. The run repeats it at its end, and adds it up (scripts/counts.mjs). */
export function count(t: Test, { what, number, on, violations = t.counts.fail, more }: Counted): void {
  const where = on ? ` on ${on}` : ''
  t.comment(`count: ${what} ${number}${where}, violations ${violations}${more ? `; ${more}` : ''}`)
}
