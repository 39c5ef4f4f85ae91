/** Records read at once for a listing: all of that is answered well within the time for an answer. */
const LIST_BATCH = 100

export function* inBatches<T>(all: readonly T[]): Iterable<T[]> {
  for (let at = 0; at < all.length; at += LIST_BATCH) yield all.slice(at, at + LIST_BATCH)
}
