import { jsonOf } from '../sound-records.ts'

/*
 * Clients and users are hashes whose fields are their members, each value as JSON: readable to an operator, and one
 * member can be replaced, or compared by a script, without the others.
 */
export function fieldsOf(record: object): string[] {
  // A hash has no place for "not any more", so that is null.
  return Object.entries(record).flatMap(([name, value]) => [name, JSON.stringify(value ?? null)])
}

/**
 * @param of completes "the record of …".
 * @returns `undefined` for no fields, hence no record.
 * @throws {UnavailableError} when it is damaged.
 */
export function recordOf(of: string, fields: Record<string, string>): object | undefined {
  const entries = Object.entries(fields)
  if (entries.length === 0) return undefined
  const members = entries.map(([name, value]) => [name, jsonOf(of, value)] as const)
  return Object.fromEntries(members.filter(([, value]) => value !== null))
}
