import type { Arbitrary } from 'fast-check'

/** A reader of what strangers write, and what must hold of it whatever they wrote. */
export interface Target {
  /** Also the folder of its inputs below `test/fuzz/corpus`. */
  readonly name: string
  /** How many of a thousand inputs are for it, in a run over all targets. */
  readonly share: number
  /** Inputs to begin with that no file can hold, because they are made of keys. */
  readonly seeds?: readonly Buffer[]
  /** Inputs near enough to good ones to get far into the reader. */
  readonly grammar: Arbitrary<string | Buffer>
  /** @throws {Violation}, or whatever the reader throws against its word. */
  readonly hold: (input: Buffer) => void | Promise<void>
}

/** What must hold does not. */
export class Violation extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'Violation'
  }
}

/** @throws {Violation} unless it is so. */
export function mustBe(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Violation(what)
}

/** What a reader made of an input: a value, or the error that it threw. */
export type Outcome<T> = { readonly value: T } | { readonly error: Error }

/** @param declared the errors that the reader may throw. */
export function outcomeOf<T>(read: () => T, declared: abstract new (...args: never) => Error): Outcome<T> {
  try {
    return { value: read() }
  } catch (error) {
    if (error instanceof declared && error.constructor === declared) return { error }
    throw error
  }
}
