/*
 * Clients and users are hashes whose fields are their members, each value as JSON: readable to an operator, and one
 * member can be replaced, or compared by a script, without the others.
 */
export function fieldsOf(record: object): string[] {
  // A hash has no place for "not any more", so that is null.
  return Object.entries(record).flatMap(([name, value]) => [name, JSON.stringify(value ?? null)])
}

/** @returns `undefined` for no fields, hence no record. */
export function recordOf<T>(fields: Record<string, string>): T | undefined {
  const entries = Object.entries(fields)
  if (entries.length === 0) return undefined
  const members = entries.map(([name, value]) => [name, JSON.parse(value)] as const)
  return Object.fromEntries(members.filter(([, value]) => value !== null)) as T
}
