import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ChainsFigures, ChainsTask } from './chains-process.ts'

const PROGRAM = fileURLToPath(new URL('./chains-process.js', import.meta.url))

/**
 * Sessions that refresh in chains, in a process of their own: each request goes to one of the servers by chance, and one
 * that comes to nothing is made again at the next server with the token that the session holds.
 */
export class Chains {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** @param tokens one refresh token for each session. */
  static async start(urls: readonly string[], tokens: readonly string[]): Promise<Chains> {
    // The program's own arguments and NODE_OPTIONS are about the server.
    const chains = new Chains(fork(PROGRAM, { execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } }))
    await chains.#ask({ kind: 'begin', urls, tokens })
    return chains
  }

  /** @param atOnce of them; whoever has its answer makes room for the session that has rested longest. */
  async run(atOnce: number, seconds: number): Promise<ChainsFigures> {
    return (await this.#ask({ kind: 'run', atOnce, seconds })) as ChainsFigures
  }

  stop(): void {
    this.#child.disconnect()
  }

  async #ask(task: ChainsTask): Promise<ChainsFigures | undefined> {
    const ended = new AbortController()
    try {
      const answer = once(this.#child, 'message', { signal: ended.signal })
      const exit = once(this.#child, 'exit', { signal: ended.signal })
      this.#child.send(task)
      const [reply] = await Promise.race([
        answer,
        exit.then(() => Promise.reject(new Error('the load process ended'))),
      ])
      const { failure, figures } = reply as { failure?: string; figures?: ChainsFigures }
      if (failure !== undefined) throw new Error(failure)
      return figures
    } finally {
      ended.abort()
    }
  }
}
