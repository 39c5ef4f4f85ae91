import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { DialectName } from './dialects.ts'
import type { LoadFigures, Task } from './load-process.ts'

const PROGRAM = fileURLToPath(new URL('./load-process.js', import.meta.url))

/** The virtual users, in a process of their own. Each keeps the refresh token that it got last, run after run. */
export class Load {
  readonly #child: ChildProcess
  readonly #url: string
  readonly #dialect: DialectName
  #size = 0

  private constructor(child: ChildProcess, url: string, dialect: DialectName) {
    this.#child = child
    this.#url = url
    this.#dialect = dialect
  }

  /** Virtual users that there are. */
  get size(): number {
    return this.#size
  }

  /** Signs the users in. */
  static async start(
    url: string,
    usernames: readonly string[],
    dialect: DialectName = 'oauth',
  ): Promise<Load> {
    // The program's own arguments and NODE_OPTIONS are about the server.
    const child = fork(PROGRAM, {
      execArgv: [],
      env: { ...process.env, NODE_OPTIONS: '' },
      // JSON would make null of the NaN that stands for no answer at all.
      serialization: 'advanced',
    })
    const load = new Load(child, url, dialect)
    try {
      await load.signIn(usernames)
    } catch (error) {
      load.stop()
      throw error
    }
    return load
  }

  /** Signs more users in. */
  async signIn(usernames: readonly string[]): Promise<void> {
    await this.#ask({ kind: 'sign-in', url: this.#url, dialect: this.#dialect, usernames })
    this.#size += usernames.length
  }

  /**
   * Lets the first `users` of them refresh, each as soon as it has its answer.
   *
   * @throws Error when an answer was anything but 200 with a new refresh token, or 503 or 429, which are counted.
   */
  async run(users: number, seconds: number): Promise<LoadFigures> {
    return (await this.#ask({ kind: 'refresh', users, seconds })) as LoadFigures
  }

  /** Lets each of the first `users` refresh `times` times. */
  async rotate(users: number, times: number): Promise<void> {
    await this.#ask({ kind: 'rotate', users, times })
  }

  /** Sign-ins of these users, over and over; the virtual users stay signed in as they are. */
  async runSignIns(usernames: readonly string[], atOnce: number, seconds: number): Promise<LoadFigures> {
    const [url, dialect] = [this.#url, this.#dialect]
    return (await this.#ask({ kind: 'sign-ins', url, dialect, usernames, atOnce, seconds })) as LoadFigures
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
