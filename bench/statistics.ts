/** A figure over several rounds: the machine drifts, so that one number alone would say too much. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/**
 * @param values NaN for a round that gave none.
 * @returns NaN where no round gave any.
 */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b)
  const [min = Number.NaN] = sorted
  return { median: quantile(sorted, 0.5), min, max: sorted.at(-1) ?? Number.NaN }
}

/**
 * @param sorted ascending.
 * @param q from 0 to 1.
 * @returns NaN for no values.
 */
export function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}
