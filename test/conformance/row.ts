import type { Test } from 'tap'
import type { Context } from './context.ts'

/** One line of docs/conformance.md, and what shows that it holds. */
export interface Row {
  readonly id: `C${number}`
  readonly title: string
  /**
   * Set where the row counts or times what other rows would add to, and where it opens the store in this process: LMDB
   * waits for ever when it is opened while another handle of the same process writes.
   */
  readonly alone?: true
  readonly hold: (t: Test, context: Context) => Promise<void>
}
