/*
 * Clients and users are hashes whose fields are their members, each value as JSON: readable to an operator, and one
 * member can be replaced, or compared by a script, without the others.
 */
export function fieldsOf(record: object): string[] {
  return Object.entries(record).flatMap(([name, value]) =>
    value === undefined ? [] : [name, JSON.stringify(value)],
  )
}

/** @returns `undefined` for no fields, hence no record. */
export function recordOf<T>(fields: Record<string, string>): T | undefined {
  const entries = Object.entries(fields)
  if (entries.length === 0) return undefined
  return Object.fromEntries(entries.map(([name, value]) => [name, JSON.parse(value)])) as T
}
