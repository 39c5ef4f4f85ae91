import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { LoadFigures, Task } from './load-process.ts'

const PROGRAM = fileURLToPath(new URL('./load-process.js', import.meta.url))

/** The virtual users, in a process of their own. Each keeps the refresh token that it got last, run after run. */
export class Load {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Signs the users in, once and for all. */
  static async start(url: string, usernames: readonly string[]): Promise<Load> {
    // The program's own arguments and NODE_OPTIONS are about the server.
    const load = new Load(fork(PROGRAM, { execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } }))
    try {
      await load.#ask({ kind: 'sign-in', url, usernames })
    } catch (error) {
      load.stop()
      throw error
    }
    return load
  }

  /**
   * Lets the first `users` of them refresh, each as soon as it has its answer.
   *
   * @throws Error when an answer was anything but 200 with a new refresh token.
   */
  async run(users: number, seconds: number): Promise<LoadFigures> {
    return (await this.#ask({ kind: 'refresh', users, seconds })) as LoadFigures
  }

  stop(): void {
    this.#child.disconnect()
  }

  #ask(task: Task): Promise<LoadFigures | undefined> {
    return new Promise((resolve, reject) => {
      const child = this.#child
      const onExit = () => reject(new Error('the load process ended'))
      child.once('exit', onExit)
      child.once('message', (reply: { failure?: string; figures?: LoadFigures }) => {
        child.off('exit', onExit)
        if (reply.failure !== undefined) reject(new Error(reply.failure))
        else resolve(reply.figures)
      })
      child.send(task)
    })
  }
}
