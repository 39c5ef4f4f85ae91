import type { Store } from './contract.ts'

/** Stands around one question to the store: asks it, and returns or throws what it does. */
export type Around = <T>(verb: string, question: () => Promise<T>) => Promise<T>

type Verb = (...args: unknown[]) => unknown

/**
 * Nothing is asked by these: memory answers, the store is left, or somebody waits for it to come. What answers bit by bit
 * is not taken either.
 */
const NOT_ASKED = new Set(['recall', 'close', 'ping'])
const AsyncGeneratorFunction = async function* () {}.constructor as FunctionConstructor

/**
 * The same store, with something around each of its verbs, whatever verbs it has. A verb is called as it is reached,
 * such as `families.advance`.
 */
export function aroundStore(store: Store, around: Around): Store {
  return wrap(store, '', around) as unknown as Store
}

function wrap(part: object, path: string, around: Around): object {
  return Object.fromEntries(
    Object.entries(part).map(([name, member]) => {
      const verb = path + name
      if (typeof member === 'object' && member !== null) return [name, wrap(member, `${verb}.`, around)]
      if (typeof member !== 'function' || NOT_ASKED.has(name)) return [name, member]
      if (member instanceof AsyncGeneratorFunction) return [name, (member as Verb).bind(part)]
      return [name, (...args: unknown[]) => around(verb, () => (member as Verb).apply(part, args) as never)]
    }),
  )
}
