import { damaged, jsonOf } from '../sound-records.ts'

/*
 * Clients and users are hashes whose fields are their members, each value as JSON: readable to an operator, and one
 * member can be replaced, or compared by a script, without the others.
 */
export function fieldsOf(record: object): string[] {
  // A hash has no place for "not any more", so that is null.
  return Object.entries(record).flatMap(([name, value]) => [name, JSON.stringify(value ?? null)])
}

/**
 * Asks for a record. What is another type of key than it is damaged, as is what has another form: a script that finds that
 * says so.
 *
 * @param of completes "the record of …".
 * @throws {UnavailableError} when it is damaged.
 */
export async function typed<T>(of: string, question: Promise<T>): Promise<T> {
  try {
    return await question
  } catch (error) {
    const { cause } = error as Error
    if (cause instanceof Error && /\bWRONGTYPE\b/.test(cause.message)) throw damaged(of, 'is of another type')
    if (cause instanceof Error && /\bDAMAGED\b/.test(cause.message)) throw damaged(of, 'cannot be read')
    throw error
  }
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
